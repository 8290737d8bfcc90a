// Adam with weight decay added to the gradient, in the form of torch.optim.Adam.
// Kingma, Ba, Adam: A Method for Stochastic Optimization, arXiv 1412.6980. AMSGrad: Reddi, Kale, Kumar, On the
// Convergence of Adam and Beyond, arXiv 1904.09237.
#pragma once

#include "rule.hpp"

namespace petrain::kernels {
namespace {

// The part that Adam and AdamW share: moments m and v, and the step lr m̂ / (√v̂ + eps).
template <class T>
struct AdamCoefficients {
  T beta1, one_minus_beta1, beta2, one_minus_beta2, step_size, root_correction, eps;

  static AdamCoefficients prepare(double lr, double beta1, double beta2, double eps, bool corrected, double t) {
    const double correction1 = corrected ? 1 - power(beta1, t) : 1;
    const double correction2 = corrected ? 1 - power(beta2, t) : 1;
    return {T(beta1), T(1 - beta1), T(beta2), T(1 - beta2), T(lr / correction1), T(1 / std::sqrt(correction2)), T(eps)};
  }

  void moments(T g, T& m, T& v) const {
    m = beta1 * m + one_minus_beta1 * g;
    v = beta2 * v + one_minus_beta2 * (g * g);
  }
  T step(T m, T v) const { return step_size * (m / (std::sqrt(v) * root_correction + eps)); }
};

struct Adam {
  static constexpr const char* name = "adam";
  enum { lr, beta1, beta2, eps, weight_decay, bias_correction };
  static constexpr Hyper hypers[] = {{"lr", 1e-3, Range::positive},
                                     {"beta1", 0.9, Range::unit},
                                     {"beta2", 0.999, Range::unit},
                                     {"eps", 1e-8, Range::divisor},
                                     {"weight_decay", 0, Range::non_negative},
                                     {"bias_correction", 1, Range::flag}};
  static constexpr State states[] = {{"exp_avg", StateKind::average}, {"exp_avg_sq", StateKind::square}};

  template <class T>
  struct Coefficients {
    AdamCoefficients<T> adam;
    T weight_decay;
  };

  template <class T>
  static Coefficients<T> prepare(const double* h, double t, double*) {
    return {AdamCoefficients<T>::prepare(h[lr], h[beta1], h[beta2], h[eps], h[bias_correction] != 0, t),
            T(h[weight_decay])};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    c.adam.moments(g + c.weight_decay * p, s[0], s[1]);
    p = p - c.adam.step(s[0], s[1]);
  }
};

// With the greatest v so far in the place of v.
struct AdamAmsgrad : Adam {
  static constexpr const char* name = "adam_amsgrad";
  static constexpr State states[] = {
      {"exp_avg", StateKind::average}, {"exp_avg_sq", StateKind::square}, {"max_exp_avg_sq", StateKind::square}};

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    c.adam.moments(g + c.weight_decay * p, s[0], s[1]);
    s[2] = s[1] > s[2] ? s[1] : s[2];
    p = p - c.adam.step(s[0], s[2]);
  }
};

}  // namespace
}  // namespace petrain::kernels
