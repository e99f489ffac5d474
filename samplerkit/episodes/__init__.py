"""Steps, episodes and batches of them: what samplers return, and how it is recorded."""

from __future__ import annotations

from samplerkit.episodes.assembly import Assembly
from samplerkit.episodes.batch_buffer import BatchBuffer, Place
from samplerkit.episodes.columns import Column
from samplerkit.episodes.episode_batch import EpisodeBatch
from samplerkit.episodes.in_progress import InProgressEpisode
from samplerkit.episodes.infos import concatenate_infos, stack_infos
from samplerkit.episodes.joining import join, merged
from samplerkit.episodes.padding import STEP_TYPE_PADDING
from samplerkit.episodes.provenance import Provenance
from samplerkit.episodes.recorder import EpisodeRecorder
from samplerkit.episodes.recycling import RecycledMemory
from samplerkit.episodes.slices import (
    EpisodeSlice,
    Span,
    Spans,
    episodes_of_each,
    lengths_of_each,
    pieces_of,
    span_of,
    whole,
)
from samplerkit.episodes.spec import EnvSpec, episode_limit
from samplerkit.episodes.step_type import StepType, get_step_type
from samplerkit.episodes.tick_recorder import TickRecorder
from samplerkit.episodes.time_step import EnvStep, TimeStep
from samplerkit.episodes.time_step_batch import TimeStepBatch

__all__ = [
    "STEP_TYPE_PADDING",
    "Assembly",
    "BatchBuffer",
    "Column",
    "EnvSpec",
    "EnvStep",
    "EpisodeBatch",
    "EpisodeRecorder",
    "EpisodeSlice",
    "InProgressEpisode",
    "Place",
    "Provenance",
    "RecycledMemory",
    "Span",
    "Spans",
    "StepType",
    "TickRecorder",
    "TimeStep",
    "TimeStepBatch",
    "concatenate_infos",
    "episode_limit",
    "episodes_of_each",
    "get_step_type",
    "join",
    "lengths_of_each",
    "merged",
    "pieces_of",
    "span_of",
    "stack_infos",
    "whole",
]
