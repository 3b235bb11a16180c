"""To and from the Hugging Face Hub: the gate, the audit of files, the one safe upload, downloads.

Floor 1: imports `core`. Offers `gate.check`, `audit.find_leaks`, `upload.push`, `download.local_folder` and `calls`
(calls to the Hub: repeated after temporary errors, with errors of one line).
"""
