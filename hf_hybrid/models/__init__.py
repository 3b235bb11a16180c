"""Networks and their training: the codec, its discriminators, and the small networks that scores are measured with.

Floor 3: imports the floors below. Offers `codec.Codec`, `registry.load_codec_model`, `alphagan.AlphaGAN`,
`train_codec.train_codec`, and `image_features`, `image_encoder`, `image_predictor`, `pair_encoder`.
"""
