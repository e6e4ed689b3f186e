"""The script that predicts photos without committee, what it needs, and the names of the classes."""

from __future__ import annotations

import json
from pathlib import Path

from committee.exporters import base
from committee.pipeline.bundling.subject import Content, Subject

REQUIREMENTS = "numpy>=2.0\npillow>=11.0\nonnxruntime>=1.22\n"


def files(subject: Subject) -> Content:
    """Return `predict.py`, the same file as in an exported package, `requirements.txt` and the classes."""
    names = json.dumps(subject.class_names, ensure_ascii=False, indent=1)
    return {
        "predict.py": Path(base.__file__).with_name("_predict_script.py"),
        "requirements.txt": REQUIREMENTS.encode(),
        "class_names.json": f"{names}\n".encode(),
    }
