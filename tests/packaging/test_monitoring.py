"""Dashboard and alerts ask only for metrics that peers serve, with labels that they have."""

import json
import re
from pathlib import Path

import pytest
import yaml

from swarm.observe.metrics import BY_NAME, METRICS

PACKAGING = Path(__file__).parents[2] / "packaging"
OF_THE_TARGET = {"peer", "job", "instance"}
OF_THE_PROCESS = {"process_resident_memory_bytes", "process_cpu_seconds_total"}


def dashboard():
    return json.loads((PACKAGING / "grafana" / "swarm.json").read_text())


def dashboard_queries():
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    found = [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]
    return found + [("annotation", one["expr"]) for one in dashboard()["annotations"]["list"]]


def alerts():
    groups = yaml.safe_load((PACKAGING / "prometheus" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


QUERIES = dashboard_queries() + [(rule["alert"], rule["expr"]) for rule in alerts()]


def metric_of(name):
    """The description behind a name in a query, summaries by their parts."""
    base = re.sub(r"_(sum|count)$", "", name)
    return BY_NAME.get(name) or (BY_NAME.get(base) if base in BY_NAME and BY_NAME[base].kind == "summary" else None)


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_every_query_names_metrics_and_labels_that_exist(title, query):
    names = set(re.findall(r"\b(?:swarm|process)_[a-z0-9_]+\b|\bup\b", query))
    assert names, query
    labels = set(OF_THE_TARGET)
    for name in names - OF_THE_PROCESS - {"up"}:
        described = metric_of(name)
        assert described is not None, f"{title}: there is no metric {name}"
        labels |= set(described.labels)
    used = {label for inside in re.findall(r"\{([^}]*)\}", query) for label in re.findall(r"(\w+)\s*[=!]", inside)}
    used |= {label.strip() for inside in re.findall(r"\bby \(([^)]*)\)", query) for label in inside.split(",")}
    assert used <= labels, f"{title}: {used - labels}"


def test_every_metric_of_ours_is_shown_somewhere():
    shown = {
        metric_of(name).name
        for _, query in dashboard_queries()
        for name in re.findall(r"\bswarm_[a-z0-9_]+\b", query)
        if metric_of(name)
    }
    assert {one.name for one in METRICS} - shown == {"swarm_stale_after_seconds"}, "that one is for alerts"


def test_panels_have_ids_of_their_own_and_do_not_overlap():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_alerts_say_what_to_do_and_how_bad_it_is():
    assert len({rule["alert"] for rule in alerts()}) == len(alerts()) >= 5
    for rule in alerts():
        assert rule["labels"]["severity"] in ("page", "warn")
        assert rule["annotations"]["summary"].endswith(".")


def test_prometheus_finds_the_containers_and_the_machines_peers():
    settings = yaml.safe_load((PACKAGING / "prometheus" / "prometheus.yml").read_text())
    compose = yaml.safe_load((PACKAGING / "docker" / "compose.yaml").read_text())
    (containers, machine) = settings["scrape_configs"]
    targets = {target for group in containers["static_configs"] for target in group["targets"]}
    port = compose["services"]["peer1"]["environment"]["SWARM_OBSERVE__METRICS_PORT"]
    assert targets == {f"peer{number}:{port}" for number in (1, 2, 3)}
    assert machine["file_sd_configs"][0]["files"] == ["/var/lib/rl-swarm/peers/*/metrics.json"]
    assert all((PACKAGING / "prometheus" / name).exists() for name in settings["rule_files"])


def test_grafana_is_given_the_dashboard_and_its_source():
    provisioning = PACKAGING / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["uid"] == dashboard()["templating"]["list"][0]["current"]["value"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "swarm.yaml").read_text())["providers"]
    compose = yaml.safe_load((PACKAGING / "docker" / "compose.yaml").read_text())
    mounted = " ".join(compose["services"]["grafana"]["volumes"])
    assert f"../grafana/swarm.json:{provider['options']['path']}/swarm.json" in mounted
