"""Memory for large messages: places in it, who frees them, and one copy for many readers."""

from __future__ import annotations

import errno
import gc
import itertools
import mmap
import os
import resource
import subprocess
import sys
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerkit_multiprocessing import arena as arena_module
from samplerkit_multiprocessing.arena import (
    IN_ARENA,
    PLACE,
    SMALLEST,
    Arena,
    BatchMemory,
    Bulletin,
    Reader,
    arena_file,
    places,
    with_huge_pages,
)
from samplerkit_multiprocessing.child import Belongings, _Way
from samplerkit_multiprocessing.shared import File, anonymous_file, letterbox, pipe
from samplerkit_multiprocessing.transport import ProcessCarrier, ProcessTransport

SIZE = 4096


def duplicate(file: File) -> File:
    return File(os.dup(file.fd))


def message(number: int, size: int) -> list[bytes]:
    """Return a message in parts that says which one it is."""
    data = bytes([number % 251]) * size
    return [data[: size // 3], b"", memoryview(data)[size // 3 :]]


class Pair:
    """An arena and its reader."""

    def __init__(self, size: int = SIZE) -> None:
        file = anonymous_file(size)
        self.arena = Arena(file)
        self.freed, said = pipe()
        self.reader = Reader(file, said)

    def read(self, place: bytes) -> memoryview:
        return self.reader.read(place)

    def free_what_was_freed(self) -> int:
        gone = places(self.freed)
        for place in gone:
            self.arena.free(*place)
        return len(gone)


def start_of(place: bytes) -> int:
    return PLACE.unpack(place)[0]


# ---------------------------------------------------------------- places

steps = st.lists(st.tuples(st.booleans(), st.integers(1, SIZE // 2), st.integers(0, 100)), max_size=60)


@settings(max_examples=200)
@given(steps)
def test_messages_never_overlap_and_all_is_free_in_the_end(script):
    pair = Pair()
    held: list[tuple[int, int, bytes]] = []
    for number, (writes, size, which) in enumerate(script):
        if writes:
            place = pair.arena.write(message(number, size))
            if place is not None:
                held.append((number, size, place))
        elif held:
            pair.arena.free(*PLACE.unpack(held.pop(which % len(held))[2]))
        spans = sorted((start_of(place), start_of(place) + size) for _, size, place in held)
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans)), "they overlap"
        assert all(stop <= SIZE for _, stop in spans)
    for number, size, place in held:
        assert bytes(pair.read(place)) == bytes([number % 251]) * size
    for _, _, place in held:
        pair.arena.free(*PLACE.unpack(place))
    assert start_of(pair.arena.write(message(1, SIZE))) == 0, "there is room for as much as in the beginning"
    assert pair.arena.write([b"1"]) is None


def test_the_lowest_place_that_fits_is_taken():
    arena = Pair().arena
    first, second, third = (arena.write(message(number, 640)) for number in range(3))
    arena.free(*PLACE.unpack(first))
    arena.free(*PLACE.unpack(third))
    assert start_of(arena.write(message(4, 641))) == start_of(third)
    assert start_of(arena.write(message(3, 64))) == 0
    assert start_of(arena.write(message(3, 576))) == 64
    assert start_of(second) == 640


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)])
def test_places_grow_together_in_whatever_order_they_are_freed(order):
    arena = Pair().arena
    held = [arena.write(message(number, size)) for number, size in enumerate((1024, 1024, 2048))]
    for number in order:
        arena.free(*PLACE.unpack(held[number]))
    assert arena.write(message(5, SIZE)) is not None


def test_where_there_is_no_room_nothing_is_written():
    pair = Pair()
    place = pair.arena.write(message(1, SIZE))
    assert pair.arena.write(message(2, 1)) is None
    assert bytes(pair.read(place)) == bytes([1]) * SIZE


def test_places_are_aligned_whatever_sizes_messages_have():
    arena = Pair().arena
    assert {start_of(arena.write(message(number, 1 + 7 * number))) % 64 for number in range(20)} == {0}


# ---------------------------------------------------------------- how long a message stays


def test_a_message_stays_as_long_as_anything_views_it():
    pair = Pair()
    view = pair.read(pair.arena.write(message(1, SIZE)))
    column = np.frombuffer(view, np.uint8)[10:20].reshape(2, 5)[:, 1:]
    del view
    gc.collect()
    assert pair.free_what_was_freed() == 0
    assert pair.arena.write([b"1"]) is None
    assert column.tolist() == [[1] * 4] * 2
    del column
    gc.collect()
    assert pair.free_what_was_freed() == 1
    assert pair.arena.write(message(2, SIZE)) is not None


def test_a_message_that_nobody_looks_at_is_free_at_once():
    pair = Pair()
    pair.read(pair.arena.write(message(1, SIZE)))
    gc.collect()
    assert pair.free_what_was_freed() == 1


def test_a_message_cannot_be_written_to():
    pair = Pair()
    view = pair.read(pair.arena.write(message(1, 100)))
    assert view.readonly
    with pytest.raises(ValueError, match="read-only"):
        np.frombuffer(view, np.uint8)[0] = 1


def test_views_outlive_the_reader_and_the_writer():
    pair = Pair()
    view = pair.read(pair.arena.write(message(7, 100)))
    pair.arena.close()
    del pair
    gc.collect()
    assert bytes(view) == bytes([7]) * 100
    del view
    gc.collect()  # nobody hears that it is free: no harm


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 5)), max_size=40))
def test_memory_goes_round_for_ever(script):
    pair, held = Pair(), []
    for number, (size, keeps) in enumerate(script):
        del held[keeps:]
        gc.collect(0)
        pair.free_what_was_freed()
        place = pair.arena.write(message(number, size))
        if place is not None:
            held.insert(0, (number, size, pair.read(place)))
        assert all(bytes(view) == bytes([then % 251]) * length for then, length, view in held)
    held.clear()
    pair.free_what_was_freed()
    assert pair.arena.write(message(0, SIZE)) is not None


# ---------------------------------------------------------------- the bulletin


class Readers:
    """A bulletin and processes that read it, made up."""

    def __init__(self, count: int, size: int = SIZE) -> None:
        self.file = anonymous_file(size)
        self.bulletin = Bulletin(self.file)
        self.readers = {index: self.add(index) for index in range(count)}

    def add(self, index: int) -> Reader:
        return Reader(self.file, self.bulletin.add(index))


def test_one_copy_serves_all_readers():
    it = Readers(3)
    place = it.bulletin.post(message(1, 1000), [0, 1, 2])
    views = [reader.read(place) for reader in it.readers.values()]
    assert [bytes(view) for view in views] == [bytes([1]) * 1000] * 3
    assert start_of(it.bulletin.post(message(2, 1000), [0])) == 1024, "there is one"


def test_a_message_is_freed_when_all_have_let_it_go():
    it = Readers(3)
    place = it.bulletin.post(message(1, SIZE), [0, 1, 2])
    views = [reader.read(place) for reader in it.readers.values()]
    while views:
        assert it.bulletin.post([b"1"], [0]) is None
        views.pop()
        gc.collect()
    assert it.bulletin.post(message(2, SIZE), [0]) is not None


def test_the_dead_need_nothing_any_more():
    it = Readers(3)
    place = it.bulletin.post(message(1, SIZE), [0, 1, 2])
    it.readers[0].read(place)
    it.bulletin.remove(1)
    assert it.bulletin.post([b"1"], [0]) is None, "2 has not read it"
    it.bulletin.remove(2)
    assert it.bulletin.post(message(2, SIZE), [0]) is not None


def test_who_takes_the_place_of_a_dead_one_is_not_waited_for():
    it = Readers(2)
    place = it.bulletin.post(message(1, SIZE), [0, 1])
    it.readers[0].read(place)
    it.bulletin.remove(1)
    it.readers[1] = it.add(1)
    second = it.bulletin.post(message(2, SIZE), [0, 1])
    assert second is not None
    assert bytes(it.readers[1].read(second)[:1]) == b"\x02"


def test_those_who_were_not_told_are_not_waited_for():
    it = Readers(2)
    place = it.bulletin.post(message(1, SIZE), [1])
    it.readers[1].read(place)
    gc.collect()
    assert it.bulletin.post(message(2, SIZE), [0]) is not None


# ---------------------------------------------------------------- the ways between processes


class Ends:
    """A process's end of the ways to its parent, and the parent's."""

    def __init__(self, arena_size: int = 1 << 20) -> None:
        self.mine, theirs = Pipe()
        file, news = anonymous_file(arena_size), anonymous_file(arena_size)
        freed, said = pipe()
        self.bulletin = Bulletin(news)
        queue, board = pipe()[0], anonymous_file(64)
        arena, bulletin = (duplicate(file), freed), (duplicate(news), self.bulletin.add(0))
        letters_out, letters_in = letterbox()
        self.belongings = Belongings(theirs, queue, board, 0, letters_in, arena, bulletin, None)
        self.way = _Way(self.belongings)
        self.theirs = theirs
        self.carrier = ProcessCarrier(0, None, self.mine, letters_out, Reader(file, said))

    def received(self) -> list[memoryview | bytes]:
        got: list = []
        while self.mine.poll():
            ProcessTransport._read(None, self.carrier, got)
        return [data for _, data in got]

    def letters(self) -> list[memoryview | bytes]:
        got: list = []
        ProcessTransport._read_letters(None, self.carrier, got)
        return [data for _, data in got]

    def close(self) -> None:
        self.mine.close()
        self.theirs.close()


@pytest.fixture
def ends():
    made = Ends()
    yield made
    made.close()


def test_a_large_message_goes_through_memory_and_a_small_one_does_not(ends):
    assert ends.way.post([b"x" * SMALLEST])
    assert not ends.way.post([b"x" * (SMALLEST - 1)])
    [received] = ends.received()
    assert isinstance(received, memoryview)
    assert bytes(received) == b"x" * SMALLEST


@pytest.mark.parametrize("size", [1, SMALLEST - 1, SMALLEST])
def test_a_quiet_message_lies_in_the_letterbox_and_makes_no_noise(ends, size):
    assert ends.way.leave([b"x" * size])
    assert not ends.mine.poll(), "nobody is woken"
    [letter] = ends.letters()
    assert bytes(letter) == b"x" * size


def test_a_ring_wakes_the_parent_and_is_no_message(ends):
    ends.way.ring()
    assert ends.mine.poll()
    assert ends.received() == []


def test_a_letterbox_that_is_full_takes_no_more_and_loses_nothing(ends):
    sent = 0
    while ends.way.leave([bytes([sent % 256]) * (SMALLEST - 1)]):
        sent += 1
    assert sent >= 2
    assert [bytes(letter[:1]) for letter in ends.letters()] == [bytes([i % 256]) for i in range(sent)]
    assert ends.way.leave([b"again"])


def test_where_memory_is_full_the_pipe_is_left(ends):
    size = 3 * (1 << 18)
    assert ends.way.post([b"1" * size])
    held = ends.received()
    assert not ends.way.post([b"2" * size]), "the caller sends it by the pipe"
    del held[:]
    gc.collect()
    assert ends.way.post([b"3" * size]), "what was freed is used again"
    assert bytes(ends.received()[0]) == b"3" * size


def test_small_messages_that_begin_like_a_place_are_what_they_are(ends):
    ends.way.send(b"\x80" + IN_ARENA)
    assert bytes(ends.received()[0]) == b"\x80" + IN_ARENA


def test_an_announcement_is_read_in_place_and_given_back(ends):
    place = ends.bulletin.post([b"w" * SMALLEST], [0])
    ends.mine.send_bytes(IN_ARENA + place)
    data = ends.way.receive()
    assert bytes(data) == b"w" * SMALLEST
    assert ends.bulletin.post([b"w" * (1 << 20)], [0]) is None
    del data
    gc.collect()
    assert ends.bulletin.post([b"w" * (1 << 20)], [0]) is not None


def test_a_transport_announces_large_messages_once_and_small_ones_as_they_are():
    transport = ProcessTransport(2, "spawn")
    try:
        carriers = [ProcessCarrier(index, None, None, None) for index in range(2)]
        assert transport.announce(carriers, [b"small", b" one"]) == b"small one"
        told = transport.announce(carriers, [b"x" * SMALLEST, b"y"])
        assert told[:1] == IN_ARENA
        assert PLACE.unpack(told[1:])[1] == SMALLEST + 1
    finally:
        transport.close()


def size_of(file: File) -> int:
    return os.fstat(file.fd).st_size


def test_arenas_fit_into_the_addresses_of_a_process_however_large_the_machine(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=1 << 42))
    files = [arena_file(258) for _ in range(258)]
    maps = [mmap.mmap(file.fd, 0) for file in files]
    assert size_of(files[0]) > 1 << 37
    for each in maps:
        each.close()


def test_arenas_leave_half_of_a_limit_on_addresses_to_the_rest(monkeypatch):
    usual = size_of(arena_file(4))
    left = usual  # so that four of them would not fit
    limit = psutil.Process().memory_info().vms + left
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    assert 0 < 4 * size_of(arena_file(4)) <= left // 2 + (64 << 20)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1 << 20, 1 << 20))
    assert arena_file(4) is None, "there is no room at all"


def test_where_no_map_can_be_had_there_is_no_arena(monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(arena_module, "mmap", SimpleNamespace(mmap=refuse))
    assert arena_file(4) is None


def test_a_process_without_an_arena_of_its_own_reads_what_is_announced(ends):
    it = replace(ends.belongings, arena=None, bulletin=(ends.bulletin.file, ends.bulletin.add(0)))
    way = _Way(it)
    place = ends.bulletin.post([b"w" * SMALLEST], [0])
    ends.mine.send_bytes(IN_ARENA + place)
    assert bytes(way.receive()) == b"w" * SMALLEST
    assert not way.post([b"x" * SMALLEST]), "the caller sends it by the pipe"


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
import numpy as np, samplerkit
from samplerkit.contract.probes import ProbePolicy, TattooEnv
def batch(name, **more):
    more = dict(agents=ProbePolicy(), envs=TattooEnv, max_episode_length=9, n_workers=2, seed=1, **more)
    with samplerkit.make_sampler(name, **more) as sampler:
        return sampler.obtain_samples(0, 30)
assert batch("multiprocessing", n_processes=2).equals(batch("local"))
"""


@pytest.mark.parametrize("gigabytes", [3, 40])
def test_a_sampler_lives_with_a_limit_on_addresses(gigabytes):
    command = [sys.executable, "-c", LIMITED, str(gigabytes << 30)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_files_in_memory_everything_goes_by_the_pipe(monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    assert arena_file(3) is None
    transport = ProcessTransport(1, "spawn")
    try:
        assert transport.announce([], [b"x" * SMALLEST]) == b"x" * SMALLEST
    finally:
        transport.close()


# ---------------------------------------------------------------- memory of batches


@pytest.fixture
def batches():
    file = anonymous_file(1 << 24)
    yield BatchMemory(file)
    file.close()


def resident(batches: BatchMemory) -> int:
    return os.fstat(batches.file.fd).st_blocks * 512


def test_a_block_is_where_its_offset_says_in_the_memory_that_others_map(batches):
    blocks = [batches.block(5000), batches.block(70_000)]
    blocks[1][:] = 7
    with mmap.mmap(batches.file.fd, 0) as theirs:
        start = batches.offset(blocks[1])
        assert theirs[start : start + 70_000] == bytes([7]) * 70_000
    assert batches.offset(blocks[0]) == 0


def test_whoever_maps_the_memory_for_huge_pages_finds_blocks_where_they_are(batches):
    blocks = [batches.block(5000), batches.block(70_000)]
    blocks[1][:] = 7
    theirs = with_huge_pages(batches.file)
    start = batches.offset(blocks[1])
    assert theirs[start : start + 70_000] == bytes([7]) * 70_000


def huge_pages() -> int:
    """Return how many bytes of memory that is shared are in huge pages here."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if "ShmemPmdMapped" in line)


def there_are_huge_pages() -> bool:
    memory = with_huge_pages(anonymous_file(1 << 22))
    memory[0] = 0
    try:
        memory.madvise(25, 0, 1 << 21)
    except (OSError, ValueError):
        return False
    return True


@pytest.mark.skipif(not there_are_huge_pages(), reason="this operating system has none for shared memory")
def test_blocks_that_are_written_whole_have_huge_pages(batches):
    before = huge_pages()
    block = batches.block(1 << 22)
    assert resident(batches) == 0, "one that may not be written whole takes nothing yet"
    batches.prepare(batches.offset(block), block.nbytes)
    block[:] = 1
    assert huge_pages() - before == 1 << 22
    del block
    assert resident(batches) < 1 << 16


def test_memory_of_a_block_that_nobody_has_goes_back_to_the_operating_system(batches):
    block = batches.block(1 << 22)
    block[:] = 1
    view = block[100:200]
    del block
    assert resident(batches) >= 1 << 22
    assert (view == 1).all()
    del view
    assert resident(batches) < 1 << 16
    assert batches.offset(batches.block(1 << 22)) == 0, "its place is free again"


def test_a_block_for_which_there_is_no_room_is_ordinary_memory(batches):
    block = batches.block(1 << 25)
    block[:] = 1
    assert batches.offset(block) is None
    assert batches.offset(np.empty(10, np.uint8)) is None
