"""Messages to bytes and back: JSON, versioned.

What comes from the wire was written by somebody else, perhaps by a newer version of this program: bytes that cannot be read are
a value or one error here, never a crash further in. Every message and every record is decoded alone, so that an unknown kind
does not spoil its neighbours. Of records what is unknown comes along. Whether a record counts is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Annotated, Any, Final, Generic, TypeVar, get_args

import msgspec
from msgspec.structs import replace

from hacron.core import instants, nesting
from hacron.core.foreign import MOST_BYTES, Stranger, says_more
from hacron.core.messages import (
    BODY_BYTES,
    EPOCHS_END,
    MOST_RECORDS,
    RECORD_BYTES,
    SPEC_BYTES,
    VERSION,
    Batch,
    Command,
    Definition,
    Entry,
    Envelope,
    Later,
    Record,
    Report,
    Written,
    as_they_stand,
)
from hacron.core.messages import CronJobDeclared as Declared
from hacron.core.messages import RunsDemanded as Demanded
from hacron.core.model import ClusterName, KeyText

LONGEST_ENVELOPE: Final = 2 * 2**20
"""A longer envelope is not even parsed. Sent are about 100 KB, or one message."""

MESSAGE_BYTES: Final = 7 * 2**18
"""Of one command or report. The API server takes no object over 1.5 MiB, so none of ours is longer."""

T = TypeVar("T")
R = TypeVar("R", msgspec.Raw, Record)
Wire = TypeVar("Wire", "_WireBatch[msgspec.Raw]", Envelope)


class Unreadable(Exception):
    """These bytes are no message that this version knows. The text says why, in a few words, without the bytes."""


class OfLaterVersion(Unreadable):
    """They are a batch of a message version that comes after the one that this program knows."""

    def __init__(self, later: Later) -> None:
        super().__init__(_is_not_ours(later.v))
        self.later = later


class _WireBatch(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """A Batch as it travels: with a version. As it comes, its records are not decoded yet."""

    v: int = VERSION
    epoch: Annotated[int, msgspec.Meta(ge=0, lt=EPOCHS_END)]
    sender: str = msgspec.field(name="from")
    sent_at: Annotated[datetime, msgspec.Meta(tz=True)]
    records: Annotated[tuple[R, ...], msgspec.Meta(max_length=MOST_RECORDS)]


class _Versioned(msgspec.Struct, frozen=True):
    v: int = VERSION


class _About(msgspec.Struct, frozen=True):
    """What a record of any kind says of itself, if it is about something that it may replace or be removed with."""

    kind: Annotated[str, msgspec.Meta(max_length=64)]
    key: KeyText
    cluster: ClusterName | None = None


_KINDS = frozenset(kind.__name__ for kind in get_args(Record))
_encoder = msgspec.json.Encoder()
_versioned = msgspec.json.Decoder(_Versioned)
_later = msgspec.json.Decoder(Later)
_about = msgspec.json.Decoder(_About)
_batch = msgspec.json.Decoder(_WireBatch[msgspec.Raw])
_envelope = msgspec.json.Decoder(Envelope)
_record: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
_command: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_report: msgspec.json.Decoder[Report] = msgspec.json.Decoder(Report)
_object = msgspec.json.Decoder(dict[str, Any])


def encode_batch(batch: Batch) -> bytes:
    records = as_they_stand(batch.records, batch.foreign)
    return _encoder.encode(_WireBatch(epoch=batch.epoch, sender=batch.sender, sent_at=batch.sent_at, records=records))


def decode_batch(body: bytes) -> tuple[Batch, list[Unreadable]]:
    """Return the batch with the records that are known, or at least say what they are about, and what is wrong with the others.

    Raises OfLaterVersion for one of a later message version, and Unreadable when the whole is no batch. A newer version of the
    program may write kinds that are unknown here; what this one knows must count all the same, or the two would disagree about
    everything else in that message.
    """
    wire = _decode_batch(body)
    records, foreign, unreadable = list[Written](), dict[int, bytes](), list[Unreadable]()
    for raw in wire.records:
        try:
            record = _record_or_stranger(raw)
        except Unreadable as reason:
            unreadable.append(reason)
            continue
        if not isinstance(record, Stranger) and _says_more(raw, record):
            foreign[len(records)] = bytes(raw)
        records.append(record)
    batch = Batch(epoch=wire.epoch, sender=wire.sender, sent_at=wire.sent_at, records=tuple(records), foreign=foreign)
    return batch, unreadable


def read_entry(offset: int, body: bytes, size: int) -> tuple[Entry, list[Unreadable]]:
    """Return what a message of the ledger says, whatever it is, and what is wrong with it."""
    batch, later, unreadable = None, None, list[Unreadable]()
    try:
        batch, unreadable = decode_batch(body)
    except OfLaterVersion as unread:
        later = unread.later  # if it counts, this replica leaves; if not, nothing is missed
    except Unreadable as whole:
        unreadable = [whole]
    return Entry(offset=offset, size=size, batch=batch, later=later), unreadable


def epoch_of(body: bytes) -> int:
    """Return the epoch of a batch, whatever is in it, and of whatever version; -1 when it is no batch."""
    try:
        return _decode_batch(body).epoch
    except OfLaterVersion as unread:
        return unread.later.epoch
    except Unreadable:
        return -1


def encode_message(message: Command | Report) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(message))


def encode_envelope(envelope: Envelope) -> bytes:
    return _encoder.encode(envelope)


def decode_commands(body: bytes) -> tuple[list[Command], list[Unreadable]]:
    """Return the commands of an envelope, and what is wrong with the rest. Raises Unreadable when it is no envelope."""
    return _each(_decode(_envelope, body, LONGEST_ENVELOPE).messages, decode_command)


def decode_reports(body: bytes) -> tuple[list[Report], list[Unreadable]]:
    """Return the reports of an envelope, and what is wrong with the rest. Raises Unreadable when it is no envelope."""
    return _each(_decode(_envelope, body, LONGEST_ENVELOPE).messages, decode_report)


def decode_record(raw: msgspec.Raw) -> Record:
    record = _message(_record, raw, RECORD_BYTES)
    if isinstance(record, Definition):
        _check_spec(record.spec, RECORD_BYTES)
    return record


def _record_or_stranger(raw: msgspec.Raw) -> Written:
    """Read a record; one of an unknown kind, if it says what it is about, is one, too."""
    try:
        return decode_record(raw)
    except Unreadable as reason:
        try:
            about = _parse(_about, raw, MOST_BYTES)
        except Unreadable:
            raise reason from None
        if about.kind in _KINDS:  # and broken
            raise
        return Stranger(about.kind, about.key, about.cluster or "", bytes(raw))


def _says_more(raw: msgspec.Raw, record: Record) -> bool:
    """Whether a record has fields that are unknown here; what is only read as something else is none: see _without_far_end."""
    if isinstance(record, Definition) and record.pause is not None and record.pause.unreadable_until:
        return False
    try:
        understood = _encoder.encode(record)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False  # nobody could write it again
    return says_more(bytes(raw), understood)


def decode_command(raw: msgspec.Raw) -> Command:
    command = _message(_command, raw, MESSAGE_BYTES)
    if isinstance(command, Declared | Demanded):
        _check_spec(command.spec, SPEC_BYTES)
    return command


def decode_report(raw: msgspec.Raw) -> Report:
    return _message(_report, raw, MESSAGE_BYTES)


def _message(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw, most: int) -> T:
    read = _parse(decoder, raw, most)
    if instants.may_have_far(bytes(raw)) and instants.has_far(read):
        read = _without_far_end(read)
        if instants.has_far(read):
            raise Unreadable(instants.FAR)
    return read


def _without_far_end(message: T) -> T:
    """Read the end of a pause as a declaration does: a version before it has let users name one that nobody can reckon from."""
    if not isinstance(message, Definition | Declared) or message.pause is None or message.pause.until is None:
        return message
    until = message.pause.until
    if not instants.is_far(until):
        return message
    return replace(message, pause=replace(message.pause, until=None, unreadable_until=until.isoformat()))


def _check_spec(spec: msgspec.Raw, most: int) -> None:
    """Read what was only skimmed: `"\\ud800"` or 1e999 would still be in it, to raise wherever it is read first."""
    read = _parse(_object, spec, most)
    if nesting.may_be_deeper(bytes(spec)) and nesting.is_deeper(read):
        raise Unreadable(f"a spec that is nested more than {nesting.MOST} deep")


def _each(raws: Iterable[msgspec.Raw], decode: Callable[[msgspec.Raw], T]) -> tuple[list[T], list[Unreadable]]:
    read: list[T] = []
    unreadable: list[Unreadable] = []
    for raw in raws:
        try:
            read.append(decode(raw))
        except Unreadable as reason:
            unreadable.append(reason)
    return read, unreadable


def _decode(decoder: msgspec.json.Decoder[Wire], body: bytes, most: int) -> Wire:
    """Decode a whole body. When that fails and it has another version, that is the reason."""
    try:
        wire = _parse(decoder, body, most)
    except Unreadable:
        _check_version(_parse(_versioned, body, most).v)
        raise
    _check_version(wire.v)
    if instants.is_far(wire.sent_at):
        raise Unreadable(instants.FAR)
    return wire


def _check_version(version: int) -> None:
    if version != VERSION:
        raise Unreadable(_is_not_ours(version))


def _is_not_ours(version: int) -> str:
    return f"version {version}; this program knows {VERSION}"


def _decode_batch(body: bytes) -> _WireBatch[msgspec.Raw]:
    try:
        return _decode(_batch, body, BODY_BYTES)
    except Unreadable:
        later = _later_batch(body)
        if later is not None:
            raise OfLaterVersion(later) from None
        raise


def _later_batch(body: bytes) -> Later | None:
    """Return what can be known of a batch of a later message version; None when it is none."""
    try:
        later = _parse(_later, body, BODY_BYTES)
    except Unreadable:
        return None
    return later if later.v > VERSION else None


def _parse(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw, most: int) -> T:
    size = memoryview(data).nbytes
    if size > most:
        raise Unreadable(f"{size} bytes, more than {most}")
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)[:200]) from None  # the decoder's words name types and places, not contents
