"""The two stages of every dataset: the download, and the manifest, which checks that it is the paper's dataset."""

import sys
from dataclasses import replace
from pathlib import Path

from cocoop.config.specs import DatasetSpec
from cocoop.data import readers
from cocoop.data.download import source, stamp
from cocoop.data.download.place import manual
from cocoop.data.download.state import files_now
from cocoop.data.names import Tokenize
from cocoop.data.observations import observations
from cocoop.data.on_disk import image_bytes
from cocoop.data.readers import Absent, Listing
from cocoop.data.scan import unreadable
from cocoop.data.verify import verify
from cocoop.data.well_formed import well_formed
from cocoop.errors import UserError, counted, listed
from cocoop.manifest import SPLITS, Manifest


def download(spec: DatasetSpec, data_root: Path, out: Path, offline: bool = False) -> None:
    """Downloads, draws or links a dataset into `data_root/spec.folder` and writes the source of each file to `out`.

    Existing files are kept, so it can be called repeatedly. After a UserError, there is no partial file and no `out`.
    """
    record = source.obtain(spec, Path(data_root), offline)
    record["state"] = files_now(spec, Path(data_root) / spec.folder)
    stamp.leave(Path(out), Path(data_root), {"schema": 1, "kind": "source", "dataset": spec.name, **record})


def manifest(spec: DatasetSpec, data_root: Path, out: Path, tokenize: Tokenize | None = None) -> Manifest:
    """Reads a dataset, checks that all images exist and that all counts match the published ones, and writes the manifest.

    tokenize: returns the token ids of a prompt, to find prompts that are too long or equal.
    Also prints the notes to the job's log.
    """
    found = checked(spec, Path(data_root), tokenize)
    for note in found.notes:
        print(f"dataset {spec.name!r}: {note}", file=sys.stderr)
    found.save(out)
    return found


def checked(spec: DatasetSpec, data_root: Path, tokenize: Tokenize | None = None) -> Manifest:
    """The manifest of a dataset after all checks, without writing it."""
    folder = data_root / spec.folder
    listing = listing_of(spec, folder)
    verify(spec, folder, listing, tokenize)
    if spec.settings.get("skip_unreadable"):
        _skip_unreadable(listing, folder, spec.on_white)
        verify(replace(spec, settings={**spec.settings, "sizes": {}}), folder, listing)
    listing.notes += observations(listing, tokenize)
    splits = {split: tuple(listing.splits.get(split, ())) for split in SPLITS}
    digest = image_bytes(folder, splits)
    return Manifest(spec.name, listing.classnames, splits, tuple(listing.notes), digest, spec.on_white)


def listing_of(spec: DatasetSpec, folder: Path) -> Listing:
    """The listing of the dataset's reader, or of its fallback reader with a note if the split file is missing."""
    if not folder.is_dir():
        raise UserError(
            f"dataset {spec.name!r}: no folder {folder}; run the download, or put the dataset there.{manual(spec)}"
        )
    try:
        listing = readers.read(spec.settings["reader"], folder)
    except Absent as error:
        fallback = spec.settings.get("fallback_reader")
        if fallback is None:
            raise UserError(f"dataset {spec.name!r}: {error}{manual(spec)}") from error
        listing = _fallback(spec, folder, fallback, error)
    except UserError as error:
        raise type(error)(f"dataset {spec.name!r}: {error}") from error
    well_formed(spec, folder, listing)
    return listing


def _fallback(spec: DatasetSpec, folder: Path, fallback: dict, error: Absent) -> Listing:
    try:
        listing = readers.read(fallback, folder)
    except UserError as second:
        raise UserError(f"dataset {spec.name!r}: {error} The split cannot be recreated either: {second}") from second
    listing.notes.append(
        f"not the paper's split: {spec.settings['reader']['file']} is missing, so the split was recreated with the reference's"
        " rule (same sizes, different images); accuracies are not comparable image by image"
    )
    return listing


def _skip_unreadable(listing: Listing, folder: Path, on_white: bool) -> None:
    paths = sorted({item.path for items in listing.splits.values() for item in items})
    bad = unreadable(folder, paths, on_white)
    for split, items in listing.splits.items():
        listing.splits[split] = [item for item in items if item.path not in bad]
    if bad:
        listing.notes.append(f"{counted(len(bad), 'unreadable image', 'unreadable images')} skipped: {listed(bad, 5)}")
