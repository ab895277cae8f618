import os

import pytest

from luxe_serving import cores

MANY = 64


@pytest.fixture(autouse=True)
def affinity(monkeypatch):
    """As on a machine with many cores, whatever runs the tests."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(MANY)))


def machine(root, groups, **files):
    """A root with /proc/self/cgroup and files below /sys/fs/cgroup; ``__`` stands for a slash, ``_DOT_`` for a dot."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text("\n".join(groups) + "\n")
    for name, content in files.items():
        path = root / "sys" / "fs" / "cgroup" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


def test_without_control_groups_it_is_the_affinity(tmp_path, monkeypatch):
    assert cores.granted(tmp_path) == MANY
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5})
    assert cores.granted(tmp_path) == 2


@pytest.mark.parametrize(
    ("limit", "granted"),
    [("max 100000", MANY), ("200000 100000", 2), ("150000 100000", 2), ("20000 100000", 1), ("nonsense", MANY)],
)
def test_version_2_rounds_up(tmp_path, limit, granted):
    assert cores.granted(machine(tmp_path, ["0::/"], cpu_DOT_max=limit)) == granted


def test_version_2_every_group_above_limits_too(tmp_path):
    files = {"a__b__cpu_DOT_max": "800000 100000", "a__cpu_DOT_max": "300000 100000"}
    assert cores.granted(machine(tmp_path, ["0::/a/b"], **files)) == 3


@pytest.mark.parametrize(("quota", "granted"), [("-1", MANY), ("250000", 3)])
@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_version_1(tmp_path, quota, granted, mount):
    files = {f"{mount}__x__cpu_DOT_cfs_quota_us": quota, f"{mount}__x__cpu_DOT_cfs_period_us": "100000"}
    assert cores.granted(machine(tmp_path, ["9:memory:/x", f"1:{mount}:/x", "0::/"], **files)) == granted


def test_a_container_that_sees_the_hosts_path(tmp_path):
    """Only the container's own group is mounted, at the top."""
    files = {"cpu__cpu_DOT_cfs_quota_us": "200000", "cpu__cpu_DOT_cfs_period_us": "100000"}
    assert cores.granted(machine(tmp_path, ["1:cpu:/docker/0123"], **files)) == 2


def test_the_quota_of_another_controller_is_none(tmp_path):
    files = {"cpuset__cpu_DOT_cfs_quota_us": "100000", "cpuset__cpu_DOT_cfs_period_us": "100000"}
    assert cores.granted(machine(tmp_path, ["3:cpuset:/"], **files)) == MANY


@pytest.mark.parametrize(("threads", "count"), [(1, 8), (3, 2), (16, 1), (0, 8)])
def test_instances(threads, count):
    assert cores.instances(threads, cores=8) == count
