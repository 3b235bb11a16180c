"""Answers of readers as the page downloads them."""

import json


def answers(private, path, reader, right, confidence=3):
    """A file as the page downloads it; `right` says which answers are."""
    key = json.loads((private / "reader-study-key.json").read_text("utf-8"))
    lines = ["study,reader,image,answer,confidence,seconds"]
    for image, (synthetic, is_right) in enumerate(zip(key["synthetic"], right, strict=True)):
        offered = ("left", "right") if key["pairs"] else ("synthetic", "real")
        answer = offered[0 if synthetic == is_right else 1]
        lines.append(f'{key["study"]},"{reader}",{image},{answer},{confidence},{1 + image / 10}')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
