"""Where data come from and results go to, and the environment in which the mover reaches it.

A place is a URI: `s3://bucket/prefix`, `file:///path` (or a plain absolute path), or
`rclone://remote/path` for a remote that RCLONE_CONFIG_* variables describe. Credentials reach the
mover by its environment alone, and `Access.scrub` takes them out of everything that is said.
"""

from __future__ import print_function

import os
import re

try:
    from urllib import unquote

    from urlparse import urlsplit
except ImportError:
    from urllib.parse import unquote, urlsplit

EXIT_USAGE = 2
EXIT_DATA = 9
EXIT_RESULTS = 10
EXIT_STOPPED = 143

MOVER = "/opt/uaitrain/rclone"
REMOTE = "uaitrain"  # what our S3 remote is called in the mover's environment
FORMS = "s3://bucket/prefix, file:///path or rclone://remote/path"
BUCKET = re.compile(r"s3://([A-Za-z0-9][A-Za-z0-9._-]{1,62})(?:/(.*))?$", re.S)
REMOTE_NAME = re.compile(r"rclone://([A-Za-z0-9_][A-Za-z0-9_-]*)(?:/(.*))?$", re.S)
CREDENTIAL_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$")
SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASS|CREDENTIAL|AUTH|SAS", re.I)
PASSED = re.compile(
    r"(PATH|TMPDIR|LANG|HTTPS?_PROXY|NO_PROXY|https?_proxy|no_proxy|SSL_CERT_FILE|SSL_CERT_DIR"
    r"|AWS_.*|RCLONE_CONFIG_.+|RCLONE_S3_.+|RCLONE_(BWLIMIT|TPSLIMIT|TRANSFERS|CHECKERS|CA_CERT))$"
)
CERTIFICATES = (  # where Debian, Red Hat and SUSE keep them
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)


class StagingError(Exception):
    """Why data or results cannot be moved: `code` is the run's exit code."""

    def __init__(self, code, reason):
        Exception.__init__(self, reason)
        self.code = code
        self.reason = reason


class Place(object):
    """One side of a copy: `remote` is what the mover calls it, `folder` its path if it is one
    here, `bucket` its bucket on S3, `shown` what people may read."""

    def __init__(self, shown, remote, folder="", bucket="", name=""):
        self.shown = shown
        self.remote = remote
        self.folder = folder
        self.bucket = bucket
        self.name = name


def parse(text, variable):
    """The place that `variable` names. Raises StagingError."""
    found = BUCKET.match(text)
    if found:
        bucket, prefix = found.group(1), clean(found.group(2) or "", variable)
        path = "/".join(part for part in (bucket, prefix) if part)
        # By the slash rclone knows a folder, and does not ask whether it is a file.
        return Place("s3://" + path, "%s:%s/" % (REMOTE, path), bucket=bucket)
    found = REMOTE_NAME.match(text)
    if found:
        name, path = found.group(1), found.group(2) or ""
        return Place("rclone://%s/%s" % (name, path), "%s:%s" % (name, path), name=name)
    if text.startswith("file://"):
        parts = urlsplit(text)
        if parts.netloc in ("", "localhost") and parts.path.startswith("/"):
            return local(unquote(parts.path))
    elif text.startswith("/"):
        return local(text)
    raise StagingError(
        EXIT_USAGE, "%s: %s is no place (allowed: %s)" % (variable, safe(text), FORMS)
    )


def local(path):
    path = os.path.normpath(path)
    return Place(path, path, folder=path)


def clean(prefix, variable):
    parts = [part for part in prefix.split("/") if part]
    if set(parts) & {".", ".."}:
        raise StagingError(
            EXIT_USAGE, "%s: a prefix with . or .. is no place in a bucket" % variable
        )
    return "/".join(parts)


def safe(text):
    """A URI without what stands before an @ in it, where people put keys."""
    return repr(re.sub(r"//[^/]*@", "//***@", text)).lstrip("u")


def read_credentials(path):
    """The variables in a file of NAME=value lines. Raises StagingError; no value is ever told."""
    if not path:
        return {}
    try:
        status = os.stat(path)
        with open(path) as file:
            lines = file.read().splitlines()
    except (IOError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise StagingError(EXIT_USAGE, "UAITRAIN_CREDENTIALS: cannot read %s: %s" % (path, reason))
    # A Secret that Kubernetes mounts for a group is the group's to read, and not ours to change.
    allowed = 0o040 if status.st_uid != os.geteuid() else 0
    if status.st_mode & 0o077 & ~allowed:
        raise StagingError(
            EXIT_USAGE,
            "UAITRAIN_CREDENTIALS: others may read or write %s (mode %04o): chmod 600 it"
            % (path, status.st_mode & 0o7777),
        )
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = CREDENTIAL_LINE.match(line)
        if not match:
            raise StagingError(
                EXIT_USAGE, "UAITRAIN_CREDENTIALS: line %d of %s is not NAME=value" % (number, path)
            )
        value = match.group(2).strip()
        if value[:1] in "\"'" and len(value) > 1 and value[-1] == value[:1]:
            value = value[1:-1]
        found[match.group(1)] = value
    return found


class Access(object):
    """The mover's environment for a run's places, and the secrets in it."""

    def __init__(self, environ, places):
        given = dict(environ, **read_credentials(environ.get("UAITRAIN_CREDENTIALS")))
        self.environment = {name: given[name] for name in given if PASSED.match(name)}
        self.environment["HOME"] = "/nonexistent"  # no file there has a say
        program = given.get("UAITRAIN_MOVER") or MOVER
        bundle = os.path.join(os.path.dirname(program), "ca-bundle.crt")
        if not any(os.path.exists(path) for path in CERTIFICATES) and os.path.exists(bundle):
            self.environment.setdefault("SSL_CERT_FILE", bundle)
        self.program = program
        if any(place.bucket for place in places):
            self._s3(given)
        for place in places:
            # rclone reads the names of remotes in capitals, with _ for -.
            wanted = "RCLONE_CONFIG_%s_TYPE" % place.name.upper().replace("-", "_")
            if place.name and wanted not in self.environment:
                raise StagingError(
                    EXIT_USAGE, "%s: no variable %s describes this remote" % (place.shown, wanted)
                )
        self.secrets = sorted(
            {
                value
                for name, value in self.environment.items()
                if SECRET_NAME.search(name) and len(value) > 3 and not value.startswith("/")
            },
            key=len,
            reverse=True,
        )

    def _s3(self, given):
        endpoint = given.get("UAITRAIN_S3_ENDPOINT", "")
        if endpoint and not re.match(r"(https?://)?[^/@\s]+/?$", endpoint):
            raise StagingError(
                EXIT_USAGE,
                "UAITRAIN_S3_ENDPOINT: %s is no endpoint (allowed: https://host[:port])"
                % safe(endpoint),
            )
        options = {
            "TYPE": "s3",
            "PROVIDER": "Other" if endpoint else "AWS",
            "ENDPOINT": endpoint,
            "FORCE_PATH_STYLE": "true" if endpoint else "false",
            "REGION": given.get("AWS_REGION") or given.get("AWS_DEFAULT_REGION", ""),
            "NO_CHECK_BUCKET": "true",  # or it would make one that is missing
        }
        key, secret = given.get("AWS_ACCESS_KEY_ID"), given.get("AWS_SECRET_ACCESS_KEY")
        if key and secret:
            options["ACCESS_KEY_ID"] = key
            options["SECRET_ACCESS_KEY"] = secret
            options["SESSION_TOKEN"] = given.get("AWS_SESSION_TOKEN", "")
        elif key or secret or endpoint:
            raise StagingError(
                EXIT_USAGE,
                "no key for s3:// places: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong into "
                "the environment or into the file that UAITRAIN_CREDENTIALS names",
            )
        else:
            options["ENV_AUTH"] = "true"  # the role of the machine or of the pod
        for name in options:
            if options[name]:
                self.environment["RCLONE_CONFIG_%s_%s" % (REMOTE.upper(), name)] = options[name]

    def scrub(self, text):
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text
