"""What the records of a channel amount to: what is in it, since when, what was undone, what holds it."""

from datetime import datetime, timezone

import pytest
from small_chains import bundle_digest, following

from mmdet_jetson.promotion.history import History, day, history_of, lasted
from mmdet_jetson.promotion.records import PROMOTE, RELEASE, ROLLBACK, Flaw, Override, Record
from mmdet_jetson.promotion.telling import evidence, judged, story

NOW = datetime(2026, 11, 30, tzinfo=timezone.utc)
OVER = Override(gate="latency:orin", outcome="fail", who="Ben", because="the customer waits")


Step = tuple[str, str, dict[str, object]]


def told(*steps: Step) -> History:
    records: list[Record] = []
    for action, name, changes in steps:
        records.append(following(records, name, action=action, **changes))
    return history_of("production", records)


def test_the_last_promotion_is_what_is_in_it() -> None:
    history = told((PROMOTE, "a", {}), (PROMOTE, "b", {}))

    assert history.now
    assert history.now.title == "b"
    assert [each.until for each in history.entries] == ["2026-11-03T10:00:00+00:00", ""]
    assert history.held_by is None


def test_a_release_of_a_hold_changes_nothing_but_the_hold() -> None:
    history = told(
        (PROMOTE, "a", {}),
        (PROMOTE, "b", {}),
        (ROLLBACK, "a", {"restores": 1, "undoes": (2,)}),
        (RELEASE, "a", {}),
    )

    assert history.now
    assert history.now.record.sequence == 3  # it is there since then
    assert history.held_by is None
    assert history.entries[2].until == ""
    assert history.entries[3].ended_hold == 3
    assert history.entries[2].hold_ended_by == 4
    assert history.entries[1].undone_by == 3
    assert not history.entries[3].put_in


def test_a_rollback_holds_until_it_is_released() -> None:
    rolled: list[Step] = [(PROMOTE, "a", {}), (PROMOTE, "b", {}), (ROLLBACK, "a", {"restores": 1})]

    held = told(*rolled)
    still = told(*rolled, (PROMOTE, "c", {}))
    free = told(*rolled, (PROMOTE, "c", {"released": True}))

    assert held.held_by
    assert held.held_by.record.sequence == 3
    assert still.held_by  # the chain says that this is wrong; it is held all the same
    assert free.held_by is None
    assert free.entries[3].ended_hold == 3


def test_a_release_that_ends_no_hold_says_of_none() -> None:
    history = told((PROMOTE, "a", {"released": True}), (RELEASE, "a", {}))

    assert [each.ended_hold for each in history.entries] == [None, None]


def test_overrides_come_back_with_what_they_let_in() -> None:
    history = told(
        (PROMOTE, "a", {"overrides": (OVER,)}),
        (PROMOTE, "b", {}),
        (ROLLBACK, "a", {"restores": 1}),
        (PROMOTE, "c", {"released": True}),
        (ROLLBACK, "a", {"restores": 3}),
    )

    assert [bool(each.overrides) for each in history.entries] == [True, False, True, False, True]
    assert history.entries[4].overrides == (OVER,)
    assert len(history.overridden) == 1  # somebody decided so once


def test_records_that_restore_each_other_are_read_to_an_end() -> None:
    history = told(
        (ROLLBACK, "a", {"restores": 2, "overrides": (OVER,)}), (ROLLBACK, "a", {"restores": 1})
    )

    assert history.entries[1].overrides == (OVER,)


def test_an_empty_channel_has_nothing_in_it() -> None:
    history = told()

    assert (history.now, history.held_by, history.summary) == (None, None, "0 records")


def test_its_summary_counts_what_happened() -> None:
    history = told(
        (PROMOTE, "a", {"overrides": (OVER,)}),
        (PROMOTE, "b", {}),
        (ROLLBACK, "a", {"restores": 1}),
    )

    assert history.summary == "3 records, 2 promotions, 1 rollback, 1 record with overridden gates"


def test_flaws_stay_with_it() -> None:
    flaw = Flaw(1, "record 1 was changed")

    assert history_of("production", (), [flaw]).flaws == (flaw,)


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("2026-11-29T23:58:30+00:00", "", "1 minute"),
        ("2026-11-29T20:00:00Z", "", "4 hours"),
        ("2026-11-01T00:00:00+02:00", "2026-11-03T22:00:00+00:00", "3 days"),
        ("2026-03-01T00:00:00+00:00", "", "9 months"),
        ("2026-12-24T00:00:00+00:00", "", "0 minutes"),  # a clock that is ahead
        ("2026-11-29T20:00:00", "", "4 hours"),
        ("whenever", "", "?"),
        ("2026-11-29T20:00:00Z", "never", "?"),
    ],
)
def test_times_are_said_as_people_say_them(start: str, end: str, said: str) -> None:
    assert lasted(start, end, NOW) == said


def test_a_time_is_said_in_utc_and_what_is_none_as_it_is() -> None:
    assert day("2026-11-29T20:00:00+02:00") == "2026-11-29 18:00"
    assert day("whenever") == "whenever"


def test_a_record_tells_its_story() -> None:
    history = told(
        (PROMOTE, "a", {}),
        (PROMOTE, "b", {}),
        (ROLLBACK, "a", {"restores": 1, "undoes": (2,)}),
        (PROMOTE, "c", {"released": True}),
    )

    first, second, third, last = (list(story(each, NOW)) for each in history.entries)
    assert first == ["was in the channel for 24 hours"]
    assert second == ["taken back by the rollback of record 3", "was in the channel for 24 hours"]
    assert third[:2] == [
        "restores record 1, takes back 2",
        "holds the channel: no promotion until record 4",
    ]
    assert last == ["ends the hold of record 3", "in the channel for 24 days"]


def test_evidence_that_is_not_here_is_told_of_by_the_record() -> None:
    history = told(
        (PROMOTE, "a", {"overrides": (OVER,)}),
        (PROMOTE, "b", {}),
        (ROLLBACK, "a", {"restores": 1}),
        (RELEASE, "a", {}),
        (PROMOTE, "c", {"verdict": ""}),
    )

    said = [evidence(each, None) for each in history.entries]
    short = bundle_digest("verdict of a")[7:19]
    assert said[0] == f"Every gate passed but latency:orin (verdict {short}, not here)."
    assert said[1].startswith("Every gate passed (")
    assert said[2].startswith(
        "Judged when record 1 let it in; every gate passed but latency:orin ("
    )
    assert said[3].startswith("A release of a hold judges nothing (")
    assert said[4] == "No verdict is recorded."


def test_how_often_pictures_judged_is_said_where_it_is_known() -> None:
    assert judged(0) == ""
    assert "judged 1 release by" in judged(1)
    assert "judged 40 releases by" in judged(40)
