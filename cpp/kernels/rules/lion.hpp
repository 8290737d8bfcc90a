// Lion: the sign of an average of the gradients.
// Chen et al., Symbolic Discovery of Optimization Algorithms, arXiv 2302.06675.
#pragma once

#include "rule.hpp"

namespace petrain::kernels {
namespace {

struct Lion {
  static constexpr const char* name = "lion";
  enum { lr, beta1, beta2, weight_decay };
  static constexpr Hyper hypers[] = {{"lr", 1e-4, Range::positive},
                                     {"beta1", 0.9, Range::unit},
                                     {"beta2", 0.99, Range::unit},
                                     {"weight_decay", 0, Range::non_negative}};
  static constexpr State states[] = {{"exp_avg", StateKind::average}};

  template <class T>
  struct Coefficients {
    T lr, beta1, one_minus_beta1, beta2, one_minus_beta2, decay;
  };

  template <class T>
  static Coefficients<T> prepare(const double* h, double, double*) {
    return {T(h[lr]), T(h[beta1]), T(1 - h[beta1]), T(h[beta2]), T(1 - h[beta2]), T(h[lr] * h[weight_decay])};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    const T blend = c.beta1 * s[0] + c.one_minus_beta1 * g;
    const T sign = blend > 0 ? T(1) : blend < 0 ? T(-1) : T(0);
    p = p - (c.decay * p + c.lr * sign);
    s[0] = c.beta2 * s[0] + c.one_minus_beta2 * g;
  }
};

}  // namespace
}  // namespace petrain::kernels
