"""The model card of a bundle, `README.md`: how its parts are used, and which files it has."""

from __future__ import annotations

from committee.pipeline.bundling.subject import Content, Subject
from committee.pipeline.model_card.text import card_text, table


def files(subject: Subject, others: Content) -> Content:
    """Return the card `README.md` of a bundle with these other files."""
    words, difference = subject.words, subject.difference
    text = card_text(
        subject,
        form="in one ONNX file",
        use=_use(subject, others),
        files=_files(subject, others),
        file=subject.place,
        differs=f"on real images, {words.difference} {difference:.1e}{words.relative}",
        tags=["onnx", "onnxruntime"],
    )
    return {"README.md": text.encode()}


def _use(subject: Subject, others: Content) -> str:
    page = (
        "In a browser, on this machine; photos are not uploaded:\n\n"
        "```sh\npython -m http.server --bind 127.0.0.1  # then open http://localhost:8000/web/\n```\n\n"
    )
    needs = (
        "The page needs onnxruntime-web in `web/ort/`, which this bundle does not contain. "
        f"`committee bundle {subject.name} --web-runtime npm` makes a bundle that does.\n\n"
    )
    has_page, has_runtime = "web/index.html" in others, any(name.startswith("web/ort/") for name in others)
    return (
        "## Use\n\n```sh\npip install -r requirements.txt\npython predict.py photo.jpg\n```\n\n"
        f"Each photo gives a line of JSON with {subject.words.line}. In Python:\n\n"
        '```python\nfrom predict import Model\n\nprint(Model().predict("photo.jpg"))\n```\n\n'
        f"{page * has_page}{needs * (has_page and not has_runtime)}"
        "With NVIDIA Triton:\n\n```sh\ntritonserver --model-repository=triton\n```\n\n"
        "Verify the files:\n\n```sh\nsha256sum -c SHA256SUMS  # macOS: shasum -a 256 -c SHA256SUMS\n"
        "committee bundle --check .  # also finds files that were added\n```"
    )


def _files(subject: Subject, others: Content) -> str:
    rows = {
        subject.place: "the model: the only copy, which the script, the page and Triton share",
        "predict.py": "predicts photos with numpy, Pillow and onnxruntime alone",
        "requirements.txt": "these three packages",
        "class_names.json": subject.words.names,
        f"triton/{subject.name}/": "a model of a Triton model repository, with `config.pbtxt`"
        f"{' and labels' * subject.words.are_classes}",
        "web/index.html": "a page that runs the model in a browser",
        "web/ort/": "onnxruntime-web (MIT license), which the page needs",
        "SHA256SUMS": "a checksum of each other file",
    }
    there = [name for name in rows if name == "SHA256SUMS" or any(each.startswith(name) for each in others)]
    return "## Files\n\n" + table(["file", "content"], [[f"`{name}`", rows[name]] for name in there])
