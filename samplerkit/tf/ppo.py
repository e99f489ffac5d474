"""Proximal policy optimisation (Schulman et al., arXiv:1707.06347), for feed-forward and recurrent policies.

Read it from `PPO.train` downwards: sample, estimate advantages, then a few epochs of clipped updates over
minibatches of whole episodes (recurrent policies) or of steps (others).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from samplerkit.sampling import check_count
from samplerkit.tf.adam import Adam
from samplerkit.tf.advantages import generalized_advantages, standardized
from samplerkit.tf.networks import GRUNetwork
from samplerkit.tf.policies.distributions import entropy, log_prob
from samplerkit.tf.sequences import Sequences, minibatches
from samplerkit.trainer import log_performance

if TYPE_CHECKING:
    from samplerkit.episodes import EpisodeBatch
    from samplerkit.trainer import Trainer

Columns = dict[str, npt.NDArray[Any]]


_AT_LEAST_0 = "at least 0", lambda value: value >= 0.0
_ABOVE_0 = "above 0", lambda value: value > 0.0
_SHARE = "from 0 to 1", lambda value: 0.0 <= value <= 1.0
_RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "discount": _SHARE,
    "gae_lambda": _SHARE,
    "lr_clip_range": _ABOVE_0,
    "policy_ent_coeff": _AT_LEAST_0,
    "final_policy_ent_coeff": _AT_LEAST_0,
    "learning_rate": _AT_LEAST_0,
    "final_learning_rate": _AT_LEAST_0,
    # Not infinity either: TensorFlow makes NaN of it.
    "max_grad_norm": _ABOVE_0,
    # With 1 the mean would stay at nothing, by which Adam divides.
    "adam_beta2": ("from 0 to below 1", lambda value: 0.0 <= value < 1.0),
}
_MAY_BE_NONE = ("final_policy_ent_coeff", "final_learning_rate")


@dataclass(frozen=True, kw_only=True)
class PPOSettings:
    """What can be tuned. The names of garage's PPO are kept where it has the thing.

    Attributes:
        discount: gamma, from 0 to 1.
        gae_lambda: lambda of the advantage estimates, from 0 to 1.
        lr_clip_range: epsilon, how far the likelihood ratio may leave 1 before its gradient is cut; above 0.
        policy_ent_coeff: weight of the entropy bonus, at least 0.
        final_policy_ent_coeff: the bonus decays linearly to this; None: constant.
        learning_rate: of Adam, at least 0.
        final_learning_rate: it decays linearly to this; None: constant.
        decay_epochs: the number of training epochs over which both decay; must be given where one does.
        update_epochs: passes over each batch.
        minibatch_size: episodes of a minibatch for recurrent policies, steps for others.
        max_grad_norm: gradients of policy and of value function are scaled down to this norm, each apart;
            above 0.
        adam_beta2: decay of Adam's mean of squared gradients, from 0 to below 1.
        jit_compile: whether XLA compiles the update: a few seconds once, then several times faster.

    Raises:
        ValueError: a number is out of its range, NaN or infinite; or something decays without `decay_epochs`.
        TypeError: what should be a number is none; a count that is no integer.
    """

    discount: float = 0.99
    gae_lambda: float = 0.95
    lr_clip_range: float = 0.2
    policy_ent_coeff: float = 0.0
    final_policy_ent_coeff: float | None = None
    learning_rate: float = 1e-3
    final_learning_rate: float | None = None
    decay_epochs: int | None = None
    update_epochs: int = 4
    minibatch_size: int = 64
    max_grad_norm: float = 1.0
    adam_beta2: float = 0.999
    jit_compile: bool = True

    def __post_init__(self) -> None:
        decays = self.final_learning_rate is not None or self.final_policy_ent_coeff is not None
        if decays and not self.decay_epochs:
            raise ValueError(
                "final_learning_rate and final_policy_ent_coeff need decay_epochs: the number of epochs"
            )
        for name in ("update_epochs", "minibatch_size"):
            check_count(name, getattr(self, name))
        if self.decay_epochs is not None:
            check_count("decay_epochs", self.decay_epochs)
        for name, (said, fits) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name in _MAY_BE_NONE:
                continue
            if isinstance(value, bool) or not isinstance(value, Real):
                raise TypeError(f"{name} must be a number, {said}, not {value!r}")
            if not (math.isfinite(value) and fits(float(value))):
                raise ValueError(f"{name} must be {said}, not {value}")

    def learning_rate_at(self, epoch: int) -> float:
        """Adam's step size in a training epoch."""
        return self._decayed(self.learning_rate, self.final_learning_rate, epoch)

    def policy_ent_coeff_at(self, epoch: int) -> float:
        """Weight of the entropy bonus in a training epoch."""
        return self._decayed(self.policy_ent_coeff, self.final_policy_ent_coeff, epoch)

    def _decayed(self, first: float, final: float | None, epoch: int) -> float:
        if final is None or self.decay_epochs is None:
            return first
        return first + (final - first) * min(1.0, epoch / self.decay_epochs)


class PPO:
    """The algorithm. Pickles with all its state as arrays, and goes on from there with the same updates.

    Args:
        policy: a `TFMLPPolicy` or `TFGRUPolicy`; trained in place.
        baseline: the value function, a `TFMLPValue` or `TFGRUValue`. Its weights are its own: with shared
            ones, the loss of large returns swamps the policy's gradient.
        settings: see `PPOSettings`.
        seed: of the order in which minibatches are dealt.
    """

    def __init__(
        self, policy: Any, baseline: Any, settings: PPOSettings | None = None, *, seed: int = 0
    ) -> None:
        self.policy = policy
        self.baseline = baseline
        self.settings = PPOSettings() if settings is None else settings
        self._generator = np.random.default_rng(seed)
        self._adam = Adam(
            [*policy.trainable_variables, *baseline.trainable_variables], beta2=self.settings.adam_beta2
        )
        self._epochs_learned = 0
        self._recurrent = any(isinstance(net, GRUNetwork) for net in (policy.network, baseline))
        self._compile()

    @property
    def discount(self) -> float:
        """Gamma."""
        return self.settings.discount

    def train(self, trainer: Trainer) -> float:
        """Sample, learn, record, epoch by epoch; returns the average return of the last epoch."""
        average_return = float("nan")
        for epoch in trainer.step_epochs():
            episodes = trainer.obtain_episodes(epoch)
            trainer.record(self.learn(episodes), prefix="PPO/")
            returns = log_performance(trainer, episodes, discount=self.discount)
            average_return = float(returns.mean())
        return average_return

    def learn(self, episodes: EpisodeBatch) -> dict[str, float]:
        """Update policy and value function from a batch sampled with the present policy.

        Returns:
            Entropy, KL (estimated, of the old to the new policy), ClipFraction and ValueLoss, means over the
            last pass, ExplainedVariance before it, and LearningRate.

        Raises:
            FloatingPointError: the batch has numbers that are not finite (nothing was learned), or the update
                ended in such (policy and value function are of no use any more, earlier snapshots are).
        """
        settings = self.settings
        sequences = Sequences.of(episodes, encode_actions=self.policy.encode_actions)
        columns, explained_variance = self._prepare(sequences)
        learning_rate = settings.learning_rate_at(self._epochs_learned)
        rates = tf.constant([learning_rate, settings.policy_ent_coeff_at(self._epochs_learned)], tf.float32)
        figures: list[Any] = []
        for _ in range(settings.update_epochs):
            parts = minibatches(columns, size=settings.minibatch_size, generator=self._generator)
            figures = [self._update(rates, **part) for part in parts]
        self._epochs_learned += 1
        means = np.mean([figure.numpy() for figure in figures], axis=0)
        learned = dict(zip(("Entropy", "KL", "ClipFraction", "ValueLoss"), means.tolist(), strict=True))
        self._require_finite_end(learned)
        return {**learned, "ExplainedVariance": explained_variance, "LearningRate": learning_rate}

    def _prepare(self, sequences: Sequences) -> tuple[Columns, float]:
        """Advantages and returns of the batch, and everything the update needs, as columns of sequences."""
        mask = sequences.mask
        values = self._values(tf.constant(sequences.observations)).numpy().astype(np.float64)
        # Nothing is earned after an episode that terminated; one that was cut off would have gone on. And
        # nothing is multiplied with what stands behind the end: a simulation that blew up ends with NaN.
        n_valued = sequences.lengths + ~sequences.terminated
        values = np.where(np.arange(values.shape[1]) < n_valued[:, None], values, 0.0)
        advantages = generalized_advantages(
            sequences.rewards,
            values,
            mask,
            discount=self.settings.discount,
            gae_lambda=self.settings.gae_lambda,
        )
        returns = advantages + values[:, :-1]
        columns: Columns = {
            "observations": np.where(mask[..., None] > 0, sequences.observations[:, :-1], np.float32(0.0)),
            "actions": sequences.actions,
            "log_probs": sequences.log_probs,
            "advantages": standardized(advantages, mask).astype(np.float32),
            "returns": returns.astype(np.float32),
            "mask": mask,
        }
        _require_finite({"rewards": sequences.rewards, **columns}, self._lost_weights)
        unexplained = np.var(advantages[mask > 0]) / max(float(np.var(returns[mask > 0])), 1e-12)
        if not self._recurrent:  # every step is a sequence of its own
            columns = {name: column[mask > 0][:, None] for name, column in columns.items()}
        return columns, float(1.0 - unexplained)

    def _require_finite_end(self, figures: dict[str, float]) -> None:
        lost = [name for name, value in figures.items() if not np.isfinite(value)]
        lost += self._lost_weights()
        if lost:
            raise FloatingPointError(
                f"PPO's update ended with {', '.join(lost)} not finite, so nothing can be learned from it: "
                "go back to an earlier snapshot, with a lower learning_rate (it is "
                f"{self.settings.learning_rate:g}), fewer update_epochs, or smaller rewards and observations."
            )

    def _lost_weights(self) -> list[str]:
        """Whose weights are not finite."""
        nets = {"policy": self.policy, "value function": self.baseline}
        return [
            f"weights of the {name}"
            for name, net in nets.items()
            if not all(np.isfinite(value).all() for value in net.get_param_values().values())
        ]

    def _compile(self) -> None:
        settings, policy, baseline, adam = self.settings, self.policy, self.baseline, self._adam
        variables = [*policy.trainable_variables, *baseline.trainable_variables]
        n_policy = len(policy.trainable_variables)

        @tf.function(jit_compile=settings.jit_compile)  # type: ignore[untyped-decorator]
        def update(
            rates: Any,
            observations: Any,
            actions: Any,
            log_probs: Any,
            advantages: Any,
            returns: Any,
            mask: Any,
        ) -> Any:
            steps = tf.reduce_sum(mask)

            def mean(values: Any) -> Any:
                return tf.reduce_sum(values * mask) / steps

            with tf.GradientTape() as tape:
                distribution = policy.distribution(observations)
                new_log_probs = log_prob(distribution, actions)
                # The likelihood ratio r_t(theta) of equation 6, and the clipped surrogate of equation 7.
                log_ratio = (new_log_probs - log_probs) * mask
                ratio = tf.exp(log_ratio)
                clipped = tf.clip_by_value(ratio, 1.0 - settings.lr_clip_range, 1.0 + settings.lr_clip_range)
                surrogate = mean(tf.minimum(ratio * advantages, clipped * advantages))
                entropies = mean(entropy(distribution))
                # The squared-error value loss of equation 9, whose weight does not matter: Adam and the norms
                # of the two gradients are kept apart.
                value_loss = 0.5 * mean(tf.square(baseline(observations) - returns))
                loss = -surrogate - rates[1] * entropies + value_loss
            gradients = tape.gradient(loss, variables)
            for_policy, _ = tf.clip_by_global_norm(gradients[:n_policy], settings.max_grad_norm)
            for_baseline, _ = tf.clip_by_global_norm(gradients[n_policy:], settings.max_grad_norm)
            adam.apply(variables, [*for_policy, *for_baseline], rates[0])
            # Schulman's low-variance estimate of KL(old, new).
            divergence = mean(ratio - 1.0 - log_ratio)
            outside = mean(tf.cast(tf.abs(ratio - 1.0) > settings.lr_clip_range, tf.float32))
            return tf.stack([entropies, divergence, outside, value_loss])

        self._update = update
        self._values = tf.function(baseline.__call__, reduce_retracing=True)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_update", "_values")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._compile()


_REASONS = {
    "rewards": "the environment gave NaN or infinity",
    "observations": "the environment gave NaN, infinity, or numbers beyond float32",
    "actions": "the policy gave NaN or infinity, as it does where its weights or observations are such",
    "log_probs": "the policy gave NaN or infinity, as it does where its weights or observations are such",
    "advantages": "an observation's value is such, perhaps that of the last in an episode that was cut off",
    "returns": "rewards are too large for float32",
}


def _require_finite(columns: Columns, lost_weights: Callable[[], list[str]]) -> None:
    """Refuse a batch that would make NaN of every weight; weights are looked at only then."""
    for name, reason in _REASONS.items():
        wrong = int(np.count_nonzero(~np.isfinite(columns[name])))
        if wrong:
            if lost := lost_weights():  # what is wrong with the batch may come of these
                reason = f"nor are the {' and the '.join(lost)}: go back to an earlier snapshot"
            raise FloatingPointError(
                f"PPO cannot learn from this batch, and has not: {wrong} of its {name} are not finite; "
                f"{reason}."
            )
