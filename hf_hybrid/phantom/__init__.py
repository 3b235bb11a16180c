"""The built-in cohort: drawn chest radiographs linked with 14 clinical variables.

Floor 2: imports `core` and `data`. Offers `cohort.write_phantom`, `drawing.draw_phantom` and
`variables.phantom_schema`.
"""
