"""Secrets are found by line and never shown."""

from __future__ import annotations

import pytest
from preflight_job import Job
from uaitrain.preflight.render import render

B64 = "QWxhZGRpbjpvcGVuIHNlc2FtZQ"
SECRETS = {
    "a private key": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "an AWS access key": "AKIA" + "Z" * 16,
    "a GitHub token": "ghp_" + "a1" * 18,
    "a GitLab token": "glpat-" + "a1" * 10,
    "a Hugging Face token": "hf_" + "aB" * 17,
    "a Google API key": "AIza" + "a1" * 17 + "b",
    "a Slack token": "xoxb-" + "1" * 24,
    "a PyPI token": "pypi-AgE" + "a" * 50,
    "a JSON web token": f"eyJ{B64}.eyJ{B64}.{B64}",
    "a registry login": f'"auth": "{B64}=="',
    "a password in an address": "https://me:" + "hunter22@example.org/",
    "a password or key": "db_password = '" + "correct-horse'",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_each_kind_is_found_with_its_line_and_not_shown(job: Job, kind: str) -> None:
    (job.code / "notes.py").write_text(f"a = 1\n\nvalue = {SECRETS[kind]}\n")

    findings = job.findings()

    (finding,) = findings
    assert finding.what == f"{kind} in notes.py"
    assert finding.where == f"{job.code / 'notes.py'}:3"
    assert SECRETS[kind].strip("\"'") not in render(findings)


@pytest.mark.parametrize(
    "text",
    [
        "password = os.environ['PASSWORD']",
        "password = getpass.getpass()",
        "password = '<YOUR_PASSWORD>'",
        'password = "your-password"',
        "password = '${PASSWORD}'",
        "token = ''",
        "tokens = 'a b c d e f g h'",
        "url = 'https://user:{}@host/'",
        "url = 'https://example.org:443/a@b'",
        "-----BEGIN PUBLIC KEY-----",
        "secretary = 'somebody-else'",
    ],
)
def test_what_is_none_is_not_told(job: Job, text: str) -> None:
    (job.code / "notes.py").write_text(text + "\n")

    assert job.findings() == ()


@pytest.mark.parametrize("name", ["deploy.env", "app.ini", "values.yaml"])
def test_settings_need_no_quotes(job: Job, name: str) -> None:
    (job.code / name).write_text("user=me\napi_key=" + "s3cr3t-value\n")

    assert job.only("secret-text").where.endswith(f"{name}:2")


def test_a_variable_in_program_text_is_no_secret(job: Job) -> None:
    (job.code / "run.py").write_text("password = read_password\n")

    assert job.findings() == ()


def test_binary_files_are_not_searched(job: Job) -> None:
    (job.code / "weights.bin").write_bytes(b"\0\1" + SECRETS["a GitHub token"].encode())

    assert job.findings() == ()


def test_ignored_files_are_not_searched(job: Job) -> None:
    (job.code / "notes.py").write_text(SECRETS["a GitHub token"])
    job.ignore.append("notes.py")

    assert job.findings() == ()
