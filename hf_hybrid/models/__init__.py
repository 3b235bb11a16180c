"""Networks and their training: the codec and its refiners, the networks that measure images, and what trains them.

Floor 3: imports the floors below. Offers `codec.Codec` and `registry.load_codec_model` (codecs by name),
`builtin.codec_folder` (those that come with the package, in `weights/`),
`alphagan.AlphaGAN` with `refiner.Refiner` (detail above its resolution), `train_codec.train_codec`, the trainers of
codec, refiner and feature network (`alphagan_trainer`, `refiner_trainer`, `radiograph_trainer`, with losses,
discriminators, augmentation and `public_images`), and the networks of scores and attacks: `image_features` (the
extractors, among them `radiograph_network` with its `weights/` and `xrv_features`), `image_encoder`,
`image_predictor`, `pair_encoder`, `machine_reader` (with the statistics of `image_texture`).
"""
