import platform
from pathlib import Path

import pytest

from luxe.machine import cpu_model


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("processor\t: 0\nmodel name\t: Some CPU: 9\nprocessor\t: 1\nmodel name\t: Other\n", "Some CPU: 9"),
        ("processor\t: 0\nBogoMIPS\t: 50\n", platform.machine()),
    ],
)
def test_the_processor_is_named_as_the_kernel_has_it(monkeypatch, content, name):
    asked = []
    monkeypatch.setattr(Path, "read_text", lambda path, **options: asked.append(str(path)) or content)
    assert cpu_model() == name and asked == ["/proc/cpuinfo"]
