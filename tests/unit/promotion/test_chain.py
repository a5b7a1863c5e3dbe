"""A chain that somebody tampered with: what was done is found and named, in each case."""

from collections.abc import Sequence

import msgspec
import pytest
from small_chains import bundle_digest, chain_of, following

from mmdet_jetson.promotion.chain import chain_flaws
from mmdet_jetson.promotion.records import (
    PROMOTE,
    RELEASE,
    ROLLBACK,
    Flaw,
    Override,
    Record,
    digest_of,
    is_held,
)

WHOLE = chain_of("v1", "v2", "v3", "v4", "v5")
ONE, TWO, THREE, FOUR, FIVE = WHOLE
Records = Sequence[Record]


def changed(record: Record, **changes: object) -> Record:
    return msgspec.structs.replace(record, **changes)


def resigned(record: Record, **changes: object) -> Record:
    record = changed(record, **changes)
    return changed(record, digest=digest_of(record))


def told(records: Records, **known: object) -> list[str]:
    return [flaw.what for flaw in chain_flaws(records, **known)]  # type: ignore[arg-type]


def test_a_whole_chain_has_no_flaw() -> None:
    assert chain_flaws(WHOLE) == []
    assert chain_flaws(()) == []
    assert chain_flaws(WHOLE, before=WHOLE[:3], tags={1: ONE.bundle, 5: FIVE.bundle}) == []


STRANGER = resigned(FOUR, reason="not what it was", who="Eve <eve@example.com>")


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ((ONE, TWO, FOUR, FIVE), ["record 3 was removed: record 4 was made after that"]),
        ((ONE, FIVE), ["records 2 to 4 were removed: record 5 was made after that"]),
        ((TWO, THREE), ["record 1 was removed: record 2 was made after that"]),
        ((ONE, THREE, FIVE), ["record 2 was removed: record 3 was made after that", "record 4 was removed: record 5 was made after that"]),
        ((ONE, changed(TWO, reason="other"), THREE), ["record 2 was changed: its digest is of something else"]),
        ((ONE, resigned(TWO, reason="other"), THREE), [f"record 2 was changed or replaced: record 3 was made after another one, {TWO.digest[7:19]}"]),
        ((ONE, TWO, changed(THREE, who="Eve")), ["record 3 was changed: its digest is of something else"]),
        ((ONE, TWO, changed(THREE, digest="")), ["record 3 was changed: its digest is of something else"]),
        ((ONE, THREE, TWO, FOUR), ["record 2 was moved: it stands behind record 3"]),
        ((TWO, ONE), ["record 1 was moved: it stands behind record 2"]),
        ((ONE, TWO, THREE, STRANGER, FOUR, FIVE), ["record 4 by Eve <eve@example.com> was put in: no record was made after it"]),
        ((ONE, TWO, THREE, FOUR, STRANGER), ["record 4 is there twice, by Ada <ada@example.com> and by Eve <eve@example.com>: two branches were merged by hand"]),
        ((ONE, TWO, TWO, THREE), ["record 2 stands there twice"]),
        ((ONE, TWO, resigned(THREE, sequence=7)), ["record 7 has a wrong number: it follows record 2"]),
        ((resigned(ONE, sequence=2),), ["record 2 says that none came before it"]),
        ((ONE, resigned(TWO, previous="")), ["record 2 says that none came before it"]),
        ((resigned(ONE, previous=TWO.digest),), [f"record 1 was changed or replaced: record 1 was made after another one, {TWO.digest[7:19]}"]),
    ],
)  # fmt: skip
def test_what_was_done_to_a_chain_is_named(records: Records, said: list[str]) -> None:
    found = told(records)
    assert [each for each in found if each in said] == said, found


def test_only_what_was_done_is_named() -> None:
    assert len(chain_flaws((ONE, TWO, FOUR, FIVE))) == 1
    assert len(chain_flaws((ONE, changed(TWO, reason="other"), THREE))) == 1
    assert len(chain_flaws((ONE, THREE, TWO, FOUR))) == 1
    assert len(chain_flaws((ONE, TWO, THREE, STRANGER, FOUR, FIVE))) == 1


def test_every_single_change_is_found() -> None:
    """Each field of each record, changed with and without a new digest; each removal, swap and copy."""
    for place, record in enumerate(WHOLE):
        others = {
            "sequence": 9, "action": RELEASE, "bundle": bundle_digest("x"), "name": "x", "policy": "",
            "verdict": "", "judged": 77, "who": "Eve", "run": "https://x", "at": "", "reason": "",
            "validation": "", "restores": 1, "undoes": (1,), "released": True, "previous": bundle_digest("y"),
            "digest": bundle_digest("z"),
        }  # fmt: skip
        assert set(others) | {"overrides"} == set(Record.__struct_fields__)
        for field, value in others.items():
            kept = [*WHOLE]
            kept[place] = changed(record, **{field: value})
            assert chain_flaws(kept), field
            if field != "digest":
                kept[place] = resigned(record, **{field: value})
                assert chain_flaws(kept, before=WHOLE), field
                assert place == len(WHOLE) - 1 or chain_flaws(kept), field
        removed = [*WHOLE[:place], *WHOLE[place + 1 :]]
        assert chain_flaws(removed, before=WHOLE)
        assert place == len(WHOLE) - 1 or chain_flaws(removed)
        for other in range(len(WHOLE)):
            kept = [*WHOLE]
            kept.insert(other, record)
            assert chain_flaws(kept), (place, other)
            kept = [*WHOLE]
            kept[place], kept[other] = kept[other], kept[place]
            assert place == other or chain_flaws(kept), (place, other)


def test_the_last_record_is_missed_by_git_and_by_tags() -> None:
    assert chain_flaws(WHOLE[:4]) == []
    assert told(WHOLE[:4], before=WHOLE) == ["record 5 was removed: git has it"]
    assert told(WHOLE[:4], tags={5: FIVE.bundle}) == [
        "record 5 was removed, or this clone is behind: its tag is there and names bundle "
        f"{FIVE.bundle[7:19]}"
    ]
    assert len(told(WHOLE[:4], before=WHOLE, tags={5: FIVE.bundle})) == 1


def test_a_whole_new_chain_is_found_by_git_and_by_tags() -> None:
    other = chain_of("v1", "v2", "x", "v4", "v5")

    assert chain_flaws(other) == []
    assert told(other, before=WHOLE) == [
        f"record {number} was changed: git has another one" for number in (3, 4, 5)
    ]
    assert told(other, tags={3: THREE.bundle}) == [
        f"record 3 was replaced: its tag names bundle {THREE.bundle[7:19]}, and it has "
        f"{bundle_digest('x')[7:19]}"
    ]


def test_digests_that_go_round_end() -> None:
    records = [
        changed(ONE, previous=TWO.digest),
        changed(TWO, previous=ONE.digest),
    ]
    assert chain_flaws(records)


def test_a_record_of_any_number_ends() -> None:
    records = [ONE, resigned(TWO, sequence=10**17, previous=bundle_digest("y"))]
    assert chain_flaws(records)


def held() -> tuple[Record, ...]:
    base = chain_of("v1", "v2")
    return (*base, following(base, "v1", action=ROLLBACK, restores=1, undoes=(2,)))


def test_a_hold_ends_by_a_release_only() -> None:
    base = held()
    released = following(base, "v3", released=True)
    ended = following(base, "v1", action=RELEASE)

    assert not is_held(base[:2])
    assert is_held(base)
    for after in (released, ended):
        assert not is_held((*base, after))
        assert chain_flaws((*base, after)) == []
        assert chain_flaws((*base, after, following((*base, after), "v9"))) == []


def test_what_no_command_writes_is_named() -> None:
    base = held()

    assert told((*base, following(base, "v3"))) == [
        "record 4 was promoted while record 3 by Ada <ada@example.com> held the channel"
    ]
    assert told((*base, following(base, "v3", action=RELEASE))) == [
        "record 4 only releases, and has another bundle"
    ]
    two = base[:2]
    for name, restores in (("v2", 1), ("v1", 9), ("v1", None)):
        wrong = following(two, name, action=ROLLBACK, restores=restores)
        assert told((*two, wrong)) == [
            f"record 3 says that it restores record {restores}, and has another bundle"
        ]
    for undoes, said in (((), "none"), ((1, 2), "1, 2")):
        wrong = following(two, "v1", action=ROLLBACK, restores=1, undoes=undoes)
        assert told((*two, wrong)) == [
            f"record 3 says that it takes back {said}, and by restoring record 1 it takes back 2"
        ]


GIVEN = Override(gate="size", outcome="fail", who="Ada", because="it is needed")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"restores": 1}, "restores"),
        ({"undoes": (1,)}, "undoes"),
        ({"action": RELEASE, "released": True}, "released"),
        ({"action": RELEASE, "overrides": (GIVEN,)}, "overrides"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_a_record_says_nothing_that_its_action_does_not_do(
    changes: dict[str, object], what: str
) -> None:
    one = chain_of("v1")
    action = changes.get("action", PROMOTE)
    assert told((*one, following(one, "v1", **changes))) == [
        f"record 2 is a {action}, and has '{what}'"
    ]


def test_flaws_come_in_the_order_of_the_records() -> None:
    found = chain_flaws((ONE, THREE, changed(FOUR, who="Eve")))
    assert [flaw.sequence for flaw in found] == [2, 4]
    assert all(isinstance(flaw, Flaw) for flaw in found)
