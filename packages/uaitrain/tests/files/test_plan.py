"""Layer plans: made from an inventory alone, stable under edits."""

from __future__ import annotations

from pathlib import Path

from uaitrain.files.inventory import Entry, Inventory, Kind
from uaitrain.files.plan import LARGE_BYTES, MAX_BUNDLES, MAX_LARGE_LAYERS, plan_layers


def inventory(*entries: Entry) -> Inventory:
    return Inventory(Path("/nowhere"), tuple(sorted(entries, key=lambda e: e.path)))


def file(path: str, size: int = 100) -> Entry:
    return Entry(path, Kind.FILE, size=size)


def test_small_files_share_a_layer_and_large_ones_stand_alone() -> None:
    plans = plan_layers(inventory(file("a.py"), file("w.bin", LARGE_BYTES), file("z.py")), "data")

    assert [[e.path for e in p.entries] for p in plans] == [["a.py", "z.py"], ["w.bin"]]
    assert [p.name for p in plans] == ["code", "w.bin"]


def test_each_plan_names_the_parent_folders_that_its_entries_do_not() -> None:
    plans = plan_layers(
        inventory(Entry("m", Kind.FOLDER), file("m/n/w.bin", LARGE_BYTES), file("m/a")), "data"
    )

    assert [p.folders for p in plans] == [("data",), ("data", "data/m", "data/m/n")]


def test_one_more_file_leaves_most_bundles_as_they_are() -> None:
    files = [file(f"src/{i:05d}.bin", 12_000) for i in range(10_000)]
    before = plan_layers(inventory(*files), "data")
    after = plan_layers(inventory(*files, file("src/00500x.bin", 12_000)), "data")

    assert len(before) > 8
    assert len({p.entries for p in after} - {p.entries for p in before}) <= 2


def test_the_number_of_layers_is_bounded_however_much_there_is() -> None:
    many = [file(f"{i}", 1_000_000) for i in range(5_000)]
    large = [file(f"w{i}", LARGE_BYTES + i) for i in range(200)]

    assert len(plan_layers(inventory(*many, *large), "data")) <= MAX_LARGE_LAYERS + 2 * MAX_BUNDLES


def test_a_growing_folder_is_cut_anew_only_when_it_has_doubled() -> None:
    """At every other step what was there stays in the layers in which it was."""
    kept = []
    before = plan_layers(inventory(*(file(f"{i:06d}", 1_000_000) for i in range(100))), "data")
    for count in range(150, 1100, 50):
        plans = plan_layers(inventory(*(file(f"{i:06d}", 1_000_000) for i in range(count))), "data")
        same = {plan.entries for plan in before} & {plan.entries for plan in plans}
        # The last one grows.
        kept.append(len(same) >= len(before) - 1)
        before = plans

    assert kept.count(False) <= 4


def test_every_entry_is_in_exactly_one_plan() -> None:
    entries = [file(f"d{i % 7}/{i}", i * 5_000) for i in range(5_000)]
    plans = plan_layers(inventory(*entries), "data")

    assert sorted(e.path for p in plans for e in p.entries) == sorted(e.path for e in entries)


def test_an_empty_folder_gives_no_layer() -> None:
    assert plan_layers(inventory(), "data") == ()
