// Rules whose step is as long, for each tensor, as the tensor's norm says: LARS (You, Gitman, Ginsburg, Large Batch
// Training of Convolutional Networks, arXiv 1708.03888) and LAMB (You et al., Large Batch Optimization for Deep
// Learning: Training BERT in 76 minutes, arXiv 1904.00962).
#pragma once

#include "adam.hpp"

namespace petrain::kernels {
namespace {

struct Lars {
  static constexpr const char* name = "lars";
  enum { lr, momentum, weight_decay, trust_coefficient, eps };
  static constexpr Hyper hypers[] = {{"lr", 1e-1, Range::positive},
                                     {"momentum", 0.9, Range::unit},
                                     {"weight_decay", 0, Range::non_negative},
                                     {"trust_coefficient", 1e-3, Range::positive},
                                     {"eps", 1e-8, Range::non_negative}};
  static constexpr State states[] = {{"momentum_buffer", StateKind::average}};

  template <class T>
  struct Coefficients {
    T lr, momentum, weight_decay;
  };

  template <class T>
  static Coefficients<T> prepare(const double* h, double, double*) {
    return {T(h[lr]), T(h[momentum]), T(h[weight_decay])};
  }

  template <class T>
  static T direction(const Coefficients<T>&, T, T g, const T*) {
    return g;
  }

  static double trust(const double* h, double param_norm, double gradient_norm) {
    if (param_norm == 0 || gradient_norm == 0) return 1;
    return h[trust_coefficient] * param_norm / (gradient_norm + h[weight_decay] * param_norm + h[eps]);
  }

  template <class T>
  static void apply(const Coefficients<T>& c, T trust, T& p, T g, T* s) {
    s[0] = c.momentum * s[0] + c.lr * trust * (g + c.weight_decay * p);
    p = p - s[0];
  }
};

struct Lamb {
  static constexpr const char* name = "lamb";
  enum { lr, beta1, beta2, eps, weight_decay, bias_correction };
  static constexpr Hyper hypers[] = {{"lr", 1e-3, Range::positive},
                                     {"beta1", 0.9, Range::unit},
                                     {"beta2", 0.999, Range::unit},
                                     {"eps", 1e-6, Range::divisor},
                                     {"weight_decay", 1e-2, Range::non_negative},
                                     {"bias_correction", 1, Range::flag}};
  static constexpr State states[] = {{"exp_avg", StateKind::average}, {"exp_avg_sq", StateKind::square}};

  template <class T>
  struct Coefficients {
    AdamCoefficients<T> adam;  // its step_size is without lr
    T lr, weight_decay;

    T direction(T p, T m, T v) const { return adam.step(m, v) + weight_decay * p; }
  };

  template <class T>
  static Coefficients<T> prepare(const double* h, double t, double*) {
    return {AdamCoefficients<T>::prepare(1, h[beta1], h[beta2], h[eps], h[bias_correction] != 0, t), T(h[lr]),
            T(h[weight_decay])};
  }

  template <class T>
  static T direction(const Coefficients<T>& c, T p, T g, T* s) {
    c.adam.moments(g, s[0], s[1]);
    return c.direction(p, s[0], s[1]);
  }

  static double trust(const double*, double param_norm, double direction_norm) {
    return param_norm == 0 || direction_norm == 0 ? 1 : param_norm / direction_norm;
  }

  template <class T>
  static void apply(const Coefficients<T>& c, T trust, T& p, T, const T* s) {
    p = p - c.lr * trust * c.direction(p, s[0], s[1]);
  }
};

}  // namespace
}  // namespace petrain::kernels
