"""The alerts of the ledger, judged by Prometheus' own tool over series that were made up."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.prometheus import binary
from support.values_files import values

ROOT = Path(__file__).parents[2]
GROUPS: dict[str, Any] = values("monitoring.yaml")["additionalPrometheusRulesMap"]["aiinfn"]
RULES: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in GROUPS["groups"] for rule in group["rules"]}
#: Alert -> the series that raise it (a minute a sample), and those that do not, which hold whatever else there is.
WELL = {
    'up{job="aiinfn"}': "1x120",
    "aiinfn_ledger_last_write_timestamp_seconds": "0+60x120",
    "aiinfn_ledger_queue_depth": "500x120",
    'aiinfn_watch_last_sync_timestamp_seconds{kind="pods"}': "0+60x120",
    'aiinfn_watch_restarts_total{kind="pods"}': "0x60 1x60",
    "aiinfn_ledger_records_inferred_total": "3x120",
    'aiinfn_ledger_records{state="quarantined"}': "2x120",
}
ILL: dict[str, dict[str, str]] = {
    "AiinfnServiceAway": {'up{job="aiinfn"}': "1x60 0x60"},
    "AiinfnLedgerNotWritten": {"aiinfn_ledger_last_write_timestamp_seconds": "0+60x60 3600x60"},
    "AiinfnLedgerBehind": {"aiinfn_ledger_queue_depth": "500x60 20000x60"},
    "AiinfnWatchSilent": {'aiinfn_watch_last_sync_timestamp_seconds{kind="pods"}': "0+60x60 3600x60"},
    "AiinfnWatchRestarts": {'aiinfn_watch_restarts_total{kind="pods"}': "0+1x120"},
    "AiinfnRecordsInferred": {"aiinfn_ledger_records_inferred_total": "3x70 5x50"},
    "AiinfnRecordsQuarantined": {'aiinfn_ledger_records{state="quarantined"}': "2x70 3x50"},
}


def raised(alert: str) -> dict[str, Any]:
    rule = RULES[alert]
    labels = {"severity": rule["labels"]["severity"]}
    for series in ILL[alert]:
        labels |= dict(re.findall(r'(\w+)="(\w+)"', series))
    summary = rule["annotations"]["summary"].replace("{{ $labels.kind }}", "pods").replace("{{ $value }}", "20000")
    return {"exp_labels": labels, "exp_annotations": {"summary": summary}}


@pytest.mark.parametrize("alert", sorted(RULES))
def test_it_is_raised_for_what_it_is_about_and_for_nothing_else(alert: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(GROUPS))
    series = WELL | ILL[alert]
    quiet = [name for name in RULES if name != "AiinfnWatchRestarts"]  # whose hour before is not made up
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": samples} for name, samples in series.items()],
        "alert_rule_test": [
            *({"eval_time": "60m", "alertname": name, "exp_alerts": []} for name in quiet),
            *(
                {"eval_time": "100m", "alertname": name, "exp_alerts": [raised(alert)] if name == alert else []}
                for name in RULES
            ),
        ],
    }
    (tmp_path / "test.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]})
    )
    done = subprocess.run(
        [binary("promtool"), "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_a_metric_that_exists_and_a_line_of_what_to_do() -> None:
    assert set(ILL) == set(RULES)
    known = set(re.findall(r"`(aiinfn_\w+)`", (ROOT / "docs" / "reference" / "metrics.md").read_text()))
    page = (ROOT / "docs" / "howto" / "accounting.md").read_text()
    for name, rule in RULES.items():
        assert set(re.findall(r"aiinfn_\w+", rule["expr"])) <= known, name
        assert f"`{name}`" in page
