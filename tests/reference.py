"""An independent oracle: float64 NumPy and SciPy, none of the package's code.

Written for plainness: loops over groups and observations, and distributions
from SciPy.
"""

from __future__ import annotations

import numpy as np
import scipy.special
import scipy.stats


def accumulate(loc, scale, group_ids):
    """Groups in order of first appearance, and each one's product of normals.

    The mean and variance come from multiplying two normals at a time:
    variance = v1 v2 / (v1 + v2), mean = (m1 v2 + m2 v1) / (v1 + v2).
    """
    groups = list(dict.fromkeys(group_ids))
    locs, scales = [], []
    for group in groups:
        rows = [i for i, g in enumerate(group_ids) if g == group]
        mean, variance = loc[rows[0]], scale[rows[0]] ** 2
        for i in rows[1:]:
            other = scale[i] ** 2
            mean = (mean * other + loc[i] * variance) / (variance + other)
            variance = variance * other / (variance + other)
        locs.append(mean)
        scales.append(np.sqrt(variance))
    return groups, np.array(locs), np.array(scales)


def average(loc, scale, group_ids):
    """Groups in order of first appearance, means and variances averaged."""
    groups = list(dict.fromkeys(group_ids))
    locs, scales = [], []
    for group in groups:
        rows = [i for i, g in enumerate(group_ids) if g == group]
        locs.append(np.mean([loc[i] for i in rows], axis=0))
        variance = np.mean([scale[i] ** 2 for i in rows], axis=0)
        scales.append(np.sqrt(variance))
    return groups, np.array(locs), np.array(scales)


def standard_normal_kl(loc, scale):
    """KL(N(loc, scale^2) || N(0, 1)) by its definition, E_q[log q - log p].

    Gauss-Hermite quadrature is exact here: the integrand is a quadratic.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    weights = weights / weights.sum()
    total = np.zeros(loc.shape)
    for node, weight in zip(nodes, weights):
        z = loc + scale * node
        log_q = scipy.stats.norm.logpdf(z, loc, scale)
        total += weight * (log_q - scipy.stats.norm.logpdf(z))
    return total.sum(-1)


def bernoulli_log_prob(logits, x):
    """Sum over the observation of x log p + (1 - x) log (1 - p)."""
    log_p = scipy.special.log_expit(logits)
    log_1_p = scipy.special.log_expit(-logits)
    terms = x * log_p + (1 - x) * log_1_p
    return terms.reshape(len(x), -1).sum(1)


def normal_log_prob(loc, scale, x):
    """Sum over the observation of the log density."""
    terms = scipy.stats.norm.logpdf(x, loc, scale)
    return terms.reshape(len(x), -1).sum(1)


def average_group_elbo(log_likelihood, style_kl, content_kl, group_ids):
    """Eq. 4 for every group, averaged as in Eq. 5.

    `content_kl` maps a group id to its KL.
    """
    groups = list(dict.fromkeys(group_ids))
    elbos = []
    for group in groups:
        rows = [i for i, g in enumerate(group_ids) if g == group]
        elbo = -content_kl[group]
        for i in rows:
            elbo += log_likelihood[i] - style_kl[i]
        elbos.append(elbo)
    return np.mean(elbos)


def dense(x, kernel, bias):
    """A linear layer."""
    return x @ kernel + bias


def normal_head(features, kernel, bias):
    """Mean and scale, as the docstring of `NormalHead` gives them."""
    outputs = dense(features, kernel, bias)
    loc, log_variance = np.split(outputs, 2, axis=-1)
    return loc, np.exp(7 * np.tanh(log_variance / 14))


def tree_posterior(parents, links, precision, loc):
    """A tree of scalars given what is said of each: the joint Gaussian's.

    Node i is N(0, 1) where `parents[i]` is None, else N(its parent, 1 /
    `links[i]`). Of node i a factor N(node; loc[i], 1 / precision[i]) is known,
    none where that precision is 0. Every node is a sum of the independent steps
    on the way to it; the posterior is that of regression, in covariances.

    Returns the prior's covariance, and mean and covariance of the posterior.
    """
    count = len(parents)
    steps = np.zeros((count, count))
    for node in range(count):
        at = node
        while at is not None:
            root = parents[at] is None
            steps[node, at] = 1 if root else links[at] ** -0.5
            at = parents[at]
    prior = steps @ steps.T
    told = [i for i in range(count) if precision[i] > 0]
    seen = prior[np.ix_(told, told)] + np.diag(1 / precision[told])
    gain = np.linalg.solve(seen, prior[told]).T
    return prior, gain @ loc[told], prior - gain @ prior[told]


def normal_kl(loc, covariance, prior_covariance):
    """KL of a multivariate normal from one of mean zero, nats."""
    inverse = np.linalg.inv(prior_covariance)
    _, log_det = np.linalg.slogdet(covariance)
    _, prior_log_det = np.linalg.slogdet(prior_covariance)
    return 0.5 * (
        np.trace(inverse @ covariance)
        + loc @ inverse @ loc
        - len(loc)
        + prior_log_det
        - log_det
    )
