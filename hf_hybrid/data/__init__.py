"""Records: reading cells, tables and images, the schema, splits by patient, and the privacy rule.

Floor 1: imports `core`. Offers `records.load_records`, `schema.RecordSchema`, `splits.split_by_patient` and
`privacy_rule` (what may be stored of a private table).
"""
