"""Load tests: Locust ─► raw samples ─► verdict against the catalogue's [slo] ─► report."""
