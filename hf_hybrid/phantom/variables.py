"""The 14 clinical variables of the built-in cohort: units, bounds, categories, findings and schema."""

PHANTOM_UNITS = {
    "age": "years",
    "bmi": "kg/m2",
    "spo2": "%",
    "crp": "mg/l",
    "lymphocytes": "10^9/l",
    "temperature": "°C",
}
BOUNDS = {
    "age": [18, 95],
    "bmi": [15.0, 55.0],
    "spo2": [60, 100],
    "crp": [0.3, 500.0],
    "lymphocytes": [0.1, 6.0],
    "temperature": [35.0, 41.5],
}
CATEGORIES = {
    "sex": ["F", "M"],
    "view": ["PA", "AP"],
    "icu": ["no", "yes"],
    "intubated": ["no", "yes"],
    "oxygen": ["none", "low_flow", "high_flow"],
    "comorbidity": ["none", "cardiac", "pulmonary", "diabetes", "immunosuppressed"],
    "outcome": ["discharged", "deceased"],
}
FINDINGS = ["cardiomegaly", "device", "effusion", "nodule", "opacity"]  # what a reader of the image would report


def phantom_schema() -> dict:
    """Role, kind, unit, bounds or categories of every column of the cohort, in plain types."""
    columns = {"patient_id": {"role": "group"}}
    for name, unit in PHANTOM_UNITS.items():
        kind = "integer" if isinstance(BOUNDS[name][0], int) else "numeric"
        columns[name] = {"role": "clinical", "kind": kind, "unit": unit, "bounds": list(BOUNDS[name])}
    for name, categories in CATEGORIES.items():
        columns[name] = {"role": "clinical", "kind": "categorical", "categories": list(categories)}
    columns["findings"] = {"role": "clinical", "kind": "multi-label", "categories": list(FINDINGS)}
    for target in ("age", "outcome"):
        columns[target]["role"] = "target"
    return {"columns": columns}
