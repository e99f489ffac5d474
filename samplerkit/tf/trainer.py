"""The trainer for TensorFlow policies."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from samplerkit.trainer import SnapshotConfig, Trainer


class TFTrainer(Trainer):
    """A `Trainer` for algorithms whose policies are eager or `tf.function` TensorFlow.

    It makes no session and no graph, and touches no global state of TensorFlow. The sampler ships the
    policies' numpy twins, so only this process runs TensorFlow.

    Args:
        snapshot_config: as for `Trainer`.
        sess: must be None: sessions are not supported yet.
        mode: ``"eager"`` or None, which means the same.

    Raises:
        NotImplementedError: a session, or ``mode="session"``, was asked for.
        ValueError: there is no such mode.
    """

    def __init__(
        self, snapshot_config: SnapshotConfig | None = None, sess: Any = None, *, mode: str | None = None
    ) -> None:
        if sess is not None or mode == "session":
            raise NotImplementedError(
                "TFTrainer does not run in a session yet: leave out sess and mode, and use eager policies "
                "such as samplerkit.tf.TFMLPPolicy"
            )
        if mode not in (None, "eager"):
            raise ValueError(f'mode must be "eager" or None, not {mode!r}')
        super().__init__(snapshot_config)

    @property
    def sess(self) -> None:
        """The session: none in eager mode."""
        return None

    def setup(self, algo: Any, env: Any, **sampling: Any) -> None:
        """As `Trainer.setup`.

        Raises:
            RuntimeError: eager execution is off.
        """
        super().setup(algo, env, **sampling)
        self.initialize_tf_vars()

    def initialize_tf_vars(self) -> None:
        """Check that there is nothing to initialise: eager variables have values from their construction.

        Raises:
            RuntimeError: eager execution is off, as after ``tf.compat.v1.disable_eager_execution()`` or
                inside ``with tf.compat.v1.Session()``.
        """
        if not tf.executing_eagerly():
            raise RuntimeError(
                "TFTrainer needs eager execution, which is off here: do not call "
                "tf.compat.v1.disable_eager_execution(), and set the trainer up outside of any session"
            )
