// Stochastic gradient descent, plain and with momentum, in the form of torch.optim.SGD.
// Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013.
#pragma once

#include "rule.hpp"

namespace petrain::kernels {
namespace {

struct Sgd {
  static constexpr const char* name = "sgd";
  enum { lr, weight_decay };
  static constexpr Hyper hypers[] = {{"lr", 1e-3, Range::positive}, {"weight_decay", 0, Range::non_negative}};

  template <class T>
  struct Coefficients {
    T lr, weight_decay;
  };

  template <class T>
  static Coefficients<T> prepare(const double* h, double, double*) {
    return {T(h[lr]), T(h[weight_decay])};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T*) {
    p = p - c.lr * (g + c.weight_decay * p);
  }
};

// v = momentum v + (1 - dampening) g, where the first v is g itself; p -= lr v, or with Nesterov
// p -= lr (g + momentum v).
struct SgdMomentum {
  static constexpr const char* name = "sgd_momentum";
  enum { lr, momentum, dampening, weight_decay, nesterov };
  static constexpr Hyper hypers[] = {{"lr", 1e-3, Range::positive},
                                     {"momentum", 0.9, Range::non_negative},
                                     {"dampening", 0, Range::non_negative},
                                     {"weight_decay", 0, Range::non_negative},
                                     {"nesterov", 0, Range::flag}};
  static constexpr State states[] = {{"momentum_buffer", StateKind::average}};

  template <class T>
  struct Coefficients {
    T lr, momentum, gradient, weight_decay, look_ahead, keep_gradient;
  };

  template <class T>
  static Coefficients<T> prepare(const double* h, double t, double*) {
    const double gradient = t == 1 ? 1.0 : 1.0 - h[dampening];
    const bool nesterov_form = h[nesterov] != 0;
    return {T(h[lr]),
            T(h[momentum]),
            T(gradient),
            T(h[weight_decay]),
            T(nesterov_form ? h[momentum] : 1),
            T(nesterov_form ? 1 : 0)};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    g = g + c.weight_decay * p;
    s[0] = c.momentum * s[0] + c.gradient * g;
    p = p - c.lr * (c.keep_gradient * g + c.look_ahead * s[0]);
  }
};

// Momentum in the averaging form: v = momentum v + (1 - momentum) g; p -= lr v. The step does not grow with the
// momentum. Polyak, USSR Computational Mathematics 4, 1964.
struct Momentum {
  static constexpr const char* name = "momentum";
  enum { lr, momentum, weight_decay };
  static constexpr Hyper hypers[] = {
      {"lr", 1e-3, Range::positive}, {"momentum", 0.9, Range::unit}, {"weight_decay", 0, Range::non_negative}};
  static constexpr State states[] = {{"momentum_buffer", StateKind::average}};

  template <class T>
  struct Coefficients {
    T lr, momentum, gradient, weight_decay;
  };

  template <class T>
  static Coefficients<T> prepare(const double* h, double, double*) {
    return {T(h[lr]), T(h[momentum]), T(1 - h[momentum]), T(h[weight_decay])};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    s[0] = c.momentum * s[0] + c.gradient * (g + c.weight_decay * p);
    p = p - c.lr * s[0];
  }
};

}  // namespace
}  // namespace petrain::kernels
