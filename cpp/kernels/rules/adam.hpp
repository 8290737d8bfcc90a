// Adam with weight decay added to the gradient, in the form of torch.optim.Adam.
// Kingma, Ba, Adam: A Method for Stochastic Optimization, arXiv 1412.6980.
#pragma once

#include "rule.hpp"

namespace petrain::kernels {
namespace {

// The part that Adam and AdamW share: moments m and v, and p -= lr m̂ / (√v̂ + eps).
template <class T>
struct AdamCoefficients {
  T beta1, one_minus_beta1, beta2, one_minus_beta2, step_size, root_correction, eps;

  static AdamCoefficients prepare(double lr, double beta1, double beta2, double eps, double t) {
    return {T(beta1),
            T(1 - beta1),
            T(beta2),
            T(1 - beta2),
            T(lr / (1 - std::pow(beta1, t))),
            T(1 / std::sqrt(1 - std::pow(beta2, t))),
            T(eps)};
  }

  void update(T& p, T g, T& m, T& v) const {
    m = beta1 * m + one_minus_beta1 * g;
    v = beta2 * v + one_minus_beta2 * (g * g);
    p = p - step_size * (m / (std::sqrt(v) * root_correction + eps));
  }
};

struct Adam {
  static constexpr const char* name = "adam";
  enum { lr, beta1, beta2, eps, weight_decay };
  static constexpr Hyper hypers[] = {{"lr", 1e-3, Range::positive},
                                     {"beta1", 0.9, Range::unit},
                                     {"beta2", 0.999, Range::unit},
                                     {"eps", 1e-8, Range::positive},
                                     {"weight_decay", 0, Range::non_negative}};
  static constexpr const char* states[] = {"exp_avg", "exp_avg_sq"};
  static constexpr int state_count = 2;

  template <class T>
  struct Coefficients {
    AdamCoefficients<T> adam;
    T weight_decay;
  };

  template <class T>
  static Coefficients<T> prepare(const double* h, double t) {
    return {AdamCoefficients<T>::prepare(h[lr], h[beta1], h[beta2], h[eps], t), T(h[weight_decay])};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    c.adam.update(p, g + c.weight_decay * p, s[0], s[1]);
  }
};

}  // namespace
}  // namespace petrain::kernels
