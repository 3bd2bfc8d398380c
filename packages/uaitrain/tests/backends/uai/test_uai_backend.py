"""A run's life on the platform, over HTTP, with every signature and parameter verified."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from support.certificates import self_signed, server_certificate
from support.uai_server import (
    PRIVATE_KEY,
    PUBLIC_KEY,
    Exchange,
    Platform,
    running_platform,
    signature,
)
from uai_jobs import RUN_ID, job, options
from uaitrain.backends import State, connect
from uaitrain.backends.uai.backend import POLL_SECONDS, STOP_SECONDS, UaiBackend
from uaitrain.backends.uai.options import options_from
from uaitrain.errors import BackendError, CredentialsError, UaitrainError, UsageError


def submitted(backend: UaiBackend) -> str:
    return backend.submit(backend.render(job()))


def test_the_stand_in_signs_as_the_platforms_documentation_shows() -> None:
    """The example of https://docs.ucloud.cn/api/summary/signature."""
    example = {
        "Action": "DescribeUHostInstance",
        "Region": "cn-bj2",
        "Limit": "10",
        "PublicKey": "ucloudsomeone@example.com1296235120854146120",
    }
    key = "46f09bb9fab4f12dfc160dae12273d5332b5debe"

    assert signature(example, key) == "cba5cf5ec4d4233d206b1b54951e3787350a642f"


def test_a_job_is_created_with_what_was_rendered_and_the_keys(
    backend: UaiBackend, platform: Platform
) -> None:
    request = backend.render(job())
    handle = backend.submit(request)
    sent = platform.calls[-1]
    shown = {name: str(value) for name, value in request.to_json()["parameters"].items()}

    assert platform.refused == []
    assert handle == platform.jobs[0].handle
    assert sent.items() >= shown.items()
    assert sent["DockerCmd"] == "/data/train.py --solver=/data/data/lenet_solver.prototxt"
    assert (sent["TrainModeId"], sent["TrainWorkId"]) == ("11", "1860001")
    assert (sent["InputDataBackendId"], sent["OutputDataBackendId"]) == ("1", "1")
    assert (sent["TrainPublicKey"], sent["TrainPrivateKey"]) == (PUBLIC_KEY, PRIVATE_KEY)


def test_text_of_any_kind_is_signed_as_it_is_sent(backend: UaiBackend, platform: Platform) -> None:
    words = ("/data/train.py", "--name=训练 & más=1+1 %20", "--b=\x07")
    handle = backend.submit(backend.render(job(argv=words)))

    assert platform.refused == []
    assert platform.job(handle)


def test_a_run_goes_from_waiting_to_done(backend: UaiBackend, platform: Platform) -> None:
    platform.life = ["Submitted", "ToDo", "Doing", "Done"]
    handle = submitted(backend)
    seen = [backend.status([handle])[handle] for _ in range(4)]

    assert [s.state for s in seen] == [
        *(State.QUEUED, State.RUNNING, State.SUCCEEDED, State.SUCCEEDED),
    ]
    assert [s.exit_code for s in seen] == [None, None, 0, 0]
    assert {s.run_id for s in seen} == {RUN_ID}
    assert seen[1].started > 0
    assert (seen[1].ended, seen[3].ended) == (0, seen[3].started + 60)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Doing", State.RUNNING),
        ("Error", State.FAILED),
        ("Stopped", State.CANCELLED),
        ("Deleted", State.CANCELLED),
        ("Stopping", State.RUNNING),
        ("ToDo", State.QUEUED),
    ],
)
def test_the_platforms_words_are_our_states(
    backend: UaiBackend, platform: Platform, word: str, state: State
) -> None:
    made = platform.add("by-hand", [word])
    status = backend.status([made.handle])[made.handle]

    assert (status.state, status.reason) == (state, word)


def test_a_job_that_the_time_limit_stopped_goes_on_when_it_is_started_again(
    backend: UaiBackend, platform: Platform
) -> None:
    made = platform.add("long", ["Stopped"], MaxExecuteTime="6")
    made.started, made.ended = 1_000_000, 1_000_000 + 6 * 3600
    status = backend.status([made.handle])[made.handle]

    assert (status.state, status.reason) == (State.STOPPED, "time limit")


def test_several_handles_are_one_question_and_an_unknown_one_is_unknown(
    backend: UaiBackend, platform: Platform
) -> None:
    made = [platform.add(f"job-{n}", ["Doing"]) for n in range(3)]
    told = backend.status([*(each.handle for each in made), "uaitrain-9999"])

    assert [s.state for s in told.values()] == [State.RUNNING] * 3 + [State.UNKNOWN]
    assert platform.counts == {"GetUAITrainJobList": 1}
    assert backend.status([]) == {}


def test_the_list_has_ours_alone_the_newest_first_over_all_pages(
    backend: UaiBackend, platform: Platform
) -> None:
    platform.page = 2
    for number in range(5):
        memo = f"dev.uaitrain.run-id=run-{number}" if number != 2 else "somebody else's"
        platform.add(f"run-{number}", ["Doing"], TrainJobMemo=memo)

    assert [s.run_id for s in backend.list()] == ["run-4", "run-3", "run-1", "run-0"]
    assert platform.counts["GetUAITrainJobList"] == 3


def test_cancel_returns_when_the_job_is_over(
    backend: UaiBackend, platform: Platform, clock: Any
) -> None:
    platform.stopping = ["Stopping", "Stopping", "Stopping", "Stopped"]
    made = platform.add("run", ["Doing"])
    backend.cancel(made.handle)

    assert made.word == "Stopped"
    assert platform.counts["StopUAITrainJob"] == 1
    assert clock.pauses == [POLL_SECONDS] * 2


def test_cancelling_what_is_over_stops_nothing(backend: UaiBackend, platform: Platform) -> None:
    made = platform.add("run", ["Done"])
    backend.cancel(made.handle)

    assert "StopUAITrainJob" not in platform.counts


def test_a_job_that_ends_while_it_is_stopped_is_cancelled_well(
    backend: UaiBackend, platform: Platform
) -> None:
    made = platform.add("run", ["Doing", "Doing", "Done"])

    def ends(exchange: Exchange) -> bool:
        made.life = ["Done"]
        return False

    platform.faults["StopUAITrainJob"] = [ends]
    backend.cancel(made.handle)

    assert made.word == "Done"


def test_a_job_that_does_not_stop_is_told(
    backend: UaiBackend, platform: Platform, clock: Any
) -> None:
    platform.stopping = ["Stopping"]
    made = platform.add("run", ["Doing"])
    with pytest.raises(BackendError, match="still Stopping"):
        backend.cancel(made.handle)

    assert clock.now >= STOP_SECONDS


def test_a_followed_log_has_each_line_once_to_the_last(
    backend: UaiBackend, platform: Platform
) -> None:
    made = platform.add("run", ["ToDo", "ToDo", "Doing", "Doing", "Doing", "Done"])
    lines = [f"line {number}" for number in range(60)]
    windows = [lines[:5], lines[:20], lines[15:40], lines[-50:]]
    made.logs["topic-1"] = windows

    assert list(backend.logs(made.handle, follow=True)) == lines


def test_a_log_that_is_not_followed_ends_at_once(
    backend: UaiBackend, platform: Platform, clock: Any
) -> None:
    made = platform.add("run", ["Doing"])
    made.logs["topic-1"] = [["one", "two\nthree\n"]]

    assert list(backend.logs(made.handle, follow=False)) == ["one", "two", "three"]
    assert clock.pauses == []


def test_a_waiting_job_has_no_lines_yet(backend: UaiBackend, platform: Platform) -> None:
    made = platform.add("run", ["ToDo"])

    assert list(backend.logs(made.handle, follow=False)) == []
    assert "GetUAITrainRunningLogTopicList" not in platform.counts


def test_lines_of_several_nodes_say_whose_they_are(backend: UaiBackend, platform: Platform) -> None:
    made = platform.add("run", ["Doing"])
    made.logs = {"a": [["hello"]], "b": [["hello"]]}

    assert list(backend.logs(made.handle, follow=False)) == ["[a] hello", "[b] hello"]


def test_the_info_is_time_and_price(backend: UaiBackend, platform: Platform) -> None:
    made = platform.add("run", ["Doing"])

    assert backend.info(made.handle) == {"seconds": "3725", "price": "12.34"}


def test_logs_and_cancel_of_an_unknown_job_say_so(backend: UaiBackend) -> None:
    for ask in (lambda: list(backend.logs("nowhere", follow=False)), lambda: backend.cancel("x-1")):
        with pytest.raises(BackendError, match="knows no job"):
            ask()


def test_a_node_type_that_is_not_there_is_told_with_those_that_are(
    platform: Platform,
) -> None:
    backend = connect("uai", options(**{"uai.url": platform.url, "uai.node_type": "1-V100"}))
    with pytest.raises(BackendError, match="V100") as refused:
        backend.submit(backend.render(job()))

    assert refused.value.allowed == "P40 1, P40 2, P40 4"
    assert "CreateUAITrainJob" not in platform.counts


def answers(document: object, status: int = 200) -> Any:
    def fault(exchange: Exchange) -> bool:
        exchange.answer(document, status)
        return True

    return fault


def refuses(code: int, message: str = "somehow") -> Any:
    return answers({"RetCode": code, "Action": "x", "Message": message})


def hangs_up(exchange: Exchange) -> bool:
    exchange.close_connection = True
    return True


def creates_and_hangs_up(exchange: Exchange) -> bool:
    exchange.judged()
    return hangs_up(exchange)


def creates_and_breaks(exchange: Exchange) -> bool:
    exchange.judged()
    exchange.answer({}, 502)
    return True


@pytest.mark.parametrize(
    "fault",
    [refuses(153), refuses(150), refuses(130), answers({}, 429), answers({}, 503), hangs_up],
    ids=["throttled", "unavailable", "gateway", "429", "503", "hung up"],
)
@pytest.mark.parametrize("action", ["GetUAITrainJobList", "GetUAITrainAvailableTrainMode"])
def test_what_passes_is_asked_again(
    backend: UaiBackend, platform: Platform, clock: Any, action: str, fault: Any
) -> None:
    platform.faults[action] = [fault, fault]
    handle = submitted(backend)

    assert backend.status([handle])[handle].state is State.RUNNING
    assert len(clock.pauses) == 2


@pytest.mark.parametrize("fault", [creates_and_hangs_up, creates_and_breaks])
def test_a_lost_answer_makes_no_second_job(
    backend: UaiBackend, platform: Platform, fault: Any
) -> None:
    platform.add("another", ["Doing"])
    platform.faults["CreateUAITrainJob"] = [fault]
    handle = submitted(backend)

    assert handle == platform.jobs[1].handle
    assert len(platform.jobs) == 2


def test_an_earlier_attempt_of_a_run_is_not_taken_for_the_lost_one(
    backend: UaiBackend, platform: Platform
) -> None:
    platform.add(RUN_ID, ["Stopped"])
    platform.faults["CreateUAITrainJob"] = [hangs_up]
    handle = submitted(backend)

    assert handle == platform.jobs[1].handle


def test_a_request_that_was_lost_is_sent_again(backend: UaiBackend, platform: Platform) -> None:
    platform.faults["CreateUAITrainJob"] = [hangs_up, refuses(110)]
    handle = submitted(backend)

    assert [made.handle for made in platform.jobs] == [handle]


def test_where_nobody_can_tell_whether_it_was_made_it_is_not_made_again(
    backend: UaiBackend, platform: Platform
) -> None:
    platform.faults["CreateUAITrainJob"] = [creates_and_hangs_up]
    platform.faults["GetUAITrainJobList"] = [refuses(5001, "database")]
    with pytest.raises(BackendError, match="cannot be found out") as refused:
        submitted(backend)

    assert RUN_ID in refused.value.next_step
    assert len(platform.jobs) == 1


def test_an_end_of_patience_is_told_with_the_platforms_words(
    backend: UaiBackend, platform: Platform, clock: Any
) -> None:
    platform.faults["GetUAITrainJobList"] = [refuses(153, "slow down")] * 20
    with pytest.raises(BackendError, match="UCloud answers 153: slow down"):
        backend.list()

    assert 3 <= len(clock.pauses) <= 10


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (refuses(171, "Signature VerifyAC Error"), CredentialsError, "171: Signature VerifyAC"),
        (refuses(172), CredentialsError, "172"),
        (refuses(299, "no permission"), BackendError, "299: no permission"),
        (refuses(8039, "资源不足"), BackendError, "8039: 资源不足"),
        (refuses(9000, "a\x1b[2Jb\n" + "x" * 900), BackendError, r"9000: a \[2Jb xxx"),
        (answers(b"<html>"), BackendError, "not the platform's"),
        (answers(b""), BackendError, "not the platform's"),
        (answers([1, 2]), BackendError, "not the platform's"),
        (answers({"RetCode": "?"}), BackendError, "not the platform's"),
        (answers({"RetCode": None}), BackendError, "not the platform's"),
        (answers({}, 404), BackendError, "HTTP 404"),
    ],
)
def test_a_refusal_is_told_and_not_repeated(
    backend: UaiBackend,
    platform: Platform,
    clock: Any,
    fault: Any,
    kind: type[UaitrainError],
    said: str,
) -> None:
    platform.faults["GetUAITrainJobList"] = [fault]
    with pytest.raises(kind, match=said) as refused:
        backend.list()

    assert type(refused.value) is kind
    assert clock.pauses == []
    assert len(str(refused.value)) < 1000


def test_a_wrong_private_key_is_a_credentials_error(
    backend: UaiBackend, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UCLOUD_PRIVATE_KEY", "wrong")
    with pytest.raises(CredentialsError, match="171"):
        submitted(backend)

    assert platform.jobs == []


def test_an_answer_without_a_job_is_not_taken_for_one(
    backend: UaiBackend, platform: Platform
) -> None:
    platform.faults["CreateUAITrainJob"] = [answers({"RetCode": 0})]
    with pytest.raises(BackendError, match="no TrainJobId"):
        submitted(backend)


def test_a_server_that_is_not_there_is_told(clock: Any) -> None:
    with running_platform() as gone:
        url = gone.url
    backend = UaiBackend(options_from(options(**{"uai.url": url})), sleep=clock.sleep)
    with pytest.raises(BackendError, match="cannot be reached: no connection"):
        backend.list()

    assert clock.pauses


def test_a_certificate_that_is_not_trusted_gets_nothing_and_one_more_authority_may_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    authority = self_signed(tmp_path, "authority")
    with running_platform(server_certificate(tmp_path, authority)) as platform:
        chosen = options_from(options(**{"uai.url": platform.url}))
        with pytest.raises(BackendError, match="certificate that is not trusted"):
            UaiBackend(chosen, sleep=clock.sleep).list()

        assert (platform.calls, platform.refused, clock.pauses) == ([], [], [])
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.certificate))

        assert UaiBackend(chosen, sleep=clock.sleep).list() == ()


def test_the_keys_do_not_follow_a_redirect(backend: UaiBackend, platform: Platform) -> None:
    with running_platform() as other:

        def redirect(exchange: Exchange) -> bool:
            exchange.send_response(307)
            exchange.send_header("Location", other.url)
            exchange.send_header("Content-Length", "0")
            exchange.end_headers()
            return True

        platform.faults["CreateUAITrainJob"] = [redirect]
        with pytest.raises(BackendError, match="HTTP 307"):
            submitted(backend)

        assert (other.calls, other.refused) == ([], [])


def test_the_private_key_is_in_no_log_and_no_message(
    backend: UaiBackend,
    platform: Platform,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The SDK logs whole requests unless it is kept from it."""
    from urllib.parse import quote_plus

    echo = f"bad value {PRIVATE_KEY}, TrainPrivateKey={quote_plus(PRIVATE_KEY)}"
    platform.faults["CreateUAITrainJob"] = [refuses(153, echo), refuses(230, echo)]
    with caplog.at_level(logging.DEBUG), pytest.raises(BackendError) as refused:
        submitted(backend)
    printed = "".join(capfd.readouterr())
    logged = caplog.text

    assert "bad value ***" in str(refused.value)
    for text in (str(refused.value), printed, logged, repr(backend.__dict__)):
        assert PRIVATE_KEY not in text
        assert quote_plus(PRIVATE_KEY) not in text


def test_connecting_and_rendering_need_neither_keys_nor_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("UCLOUD_PUBLIC_KEY")
    monkeypatch.delenv("UCLOUD_PRIVATE_KEY")
    backend = connect("uai", options(**{"uai.url": "https://nowhere.invalid/"}))

    assert "DockerCmd" in backend.render(job()).show()
    with pytest.raises(CredentialsError, match="no keys of a UCloud account"):
        backend.list()


def test_without_the_sdk_one_message_says_how_to_get_it(
    backend: UaiBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ucloud.core", None)
    with pytest.raises(UsageError) as refused:
        backend.list()

    assert refused.value.next_step == "pip install 'uaitrain[uai]'"
