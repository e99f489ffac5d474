"""samplerkit: pluggable sampler backends for reinforcement learning."""
