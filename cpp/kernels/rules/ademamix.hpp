// AdEMAMix: Adam with a second, slow average of the gradients beside the fast one.
// Pagliardini, Ablin, Grangier, The AdEMAMix Optimizer: Better, Faster, Older, arXiv 2409.03137.
#pragma once

#include "rule.hpp"

namespace petrain::kernels {
namespace {

struct AdEMAMix {
  static constexpr const char* name = "ademamix";
  enum { lr, beta1, beta2, beta3, alpha, t_alpha, t_beta3, eps, weight_decay };
  static constexpr Hyper hypers[] = {
      {"lr", 1e-3, Range::positive},
      {"beta1", 0.9, Range::unit},
      {"beta2", 0.999, Range::unit},
      {"beta3", 0.9999, Range::unit},
      {"alpha", 5, Range::non_negative},
      {"t_alpha", 0, Range::non_negative},  // steps in which alpha and beta3 grow; 0: at once
      {"t_beta3", 0, Range::non_negative},
      {"eps", 1e-8, Range::divisor},
      {"weight_decay", 0, Range::non_negative}};
  static constexpr State states[] = {
      {"exp_avg", StateKind::average}, {"exp_avg_sq", StateKind::square}, {"exp_avg_slow", StateKind::average}};

  template <class T>
  struct Coefficients {
    T beta1, one_minus_beta1, beta2, one_minus_beta2, one_minus_beta3, fast, alpha, lr, root_correction, eps,
        weight_decay;
  };

  // beta3 grows from beta1 so that the half-life grows linearly (equation 3 of the paper).
  static double slow_beta(const double* h, double t) {
    if (t >= h[t_beta3] || h[beta1] == 0 || h[beta3] <= h[beta1]) return h[beta3];
    const double share = t / h[t_beta3], from = logarithm(h[beta1]), to = logarithm(h[beta3]);
    return exponential(from * to / ((1 - share) * to + share * from));
  }

  template <class T>
  static Coefficients<T> prepare(const double* h, double t, double*) {
    const double slow = slow_beta(h, t), mix = t < h[t_alpha] ? h[alpha] * t / h[t_alpha] : h[alpha];
    return {T(h[beta1]),     T(1 - h[beta1]),   T(h[beta2]),
            T(1 - h[beta2]), T(1 - slow),       T(1 / (1 - power(h[beta1], t))),
            T(mix),          T(h[lr]),          T(1 / std::sqrt(1 - power(h[beta2], t))),
            T(h[eps]),       T(h[weight_decay])};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    s[0] = c.beta1 * s[0] + c.one_minus_beta1 * g;
    s[1] = c.beta2 * s[1] + c.one_minus_beta2 * (g * g);
    s[2] = s[2] + c.one_minus_beta3 * (g - s[2]);  // 0.9999 and 1e-4 do not add up to 1 in float32
    const T direction = (c.fast * s[0] + c.alpha * s[2]) / (std::sqrt(s[1]) * c.root_correction + c.eps);
    p = p - c.lr * (direction + c.weight_decay * p);
  }
};

}  // namespace
}  // namespace petrain::kernels
