from __future__ import annotations

import pickle

import numpy as np
import tensorflow as tf

from samplerkit.tf.adam import Adam

GRADIENTS = [
    np.array([0.5, -2.0], np.float32),
    np.array([0.1, 1.0], np.float32),
    np.array([3.0, 0.0], np.float32),
]


def by_hand(start, gradients, rate, beta1=0.9, beta2=0.999, epsilon=1e-5):
    """Algorithm 1 of the paper, in float64."""
    value, mean, square = start.astype(np.float64), 0.0, 0.0
    for t, gradient in enumerate(gradients, start=1):
        mean = beta1 * mean + (1 - beta1) * gradient.astype(np.float64)
        square = beta2 * square + (1 - beta2) * gradient.astype(np.float64) ** 2
        value = value - rate * (mean / (1 - beta1**t)) / (np.sqrt(square / (1 - beta2**t)) + epsilon)
    return value


def test_steps_are_those_of_the_paper():
    variable = tf.Variable([1.0, 2.0])
    adam = Adam([variable])
    for gradient in GRADIENTS:
        adam.apply([variable], [tf.constant(gradient)], 0.1)
    expected = by_hand(np.array([1.0, 2.0]), GRADIENTS, 0.1)
    np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-4)


def test_a_pickled_one_goes_on_with_the_same_bits():
    variable = tf.Variable([1.0, 2.0])
    adam = Adam([variable], beta2=0.99)
    adam.apply([variable], [tf.constant(GRADIENTS[0])], 0.1)
    copy, copied = pickle.loads(pickle.dumps(adam)), tf.Variable(variable.numpy())
    for gradient in GRADIENTS[1:]:
        adam.apply([variable], [tf.constant(gradient)], 0.1)
        copy.apply([copied], [tf.constant(gradient)], 0.1)
    np.testing.assert_array_equal(variable.numpy(), copied.numpy())
