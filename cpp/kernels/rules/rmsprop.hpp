// RMSprop, in the form of torch.optim.RMSprop: with momentum, centered, or both, each a rule of its own, since each
// keeps other states.
// Hinton, Neural Networks for Machine Learning, lecture 6e, 2012. Centered: Graves, arXiv 1308.0850.
#pragma once

#include "rule.hpp"

namespace petrain::kernels {
namespace {

struct RmspropPlain {
  static constexpr Hyper hypers[] = {{"lr", 1e-2, Range::positive},
                                     {"alpha", 0.99, Range::unit},
                                     {"eps", 1e-8, Range::divisor},
                                     {"weight_decay", 0, Range::non_negative}};
};

struct RmspropHeavy {
  static constexpr Hyper hypers[] = {{"lr", 1e-2, Range::positive},
                                     {"alpha", 0.99, Range::unit},
                                     {"eps", 1e-8, Range::divisor},
                                     {"weight_decay", 0, Range::non_negative},
                                     {"momentum", 0.9, Range::non_negative}};
};

template <bool centered, bool with_momentum, class Hypers>
struct RmspropForm : Hypers {
  enum { lr, alpha, eps, weight_decay, momentum };

  template <class T>
  struct Coefficients {
    T lr, alpha, one_minus_alpha, eps, weight_decay, momentum;
  };

  template <class T>
  static Coefficients<T> prepare(const double* h, double, double*) {
    return {T(h[lr]), T(h[alpha]), T(1 - h[alpha]), T(h[eps]), T(h[weight_decay]), T(with_momentum ? h[momentum] : 0)};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    g = g + c.weight_decay * p;
    s[0] = c.alpha * s[0] + c.one_minus_alpha * (g * g);
    T square = s[0];
    if constexpr (centered) {
      T& average = s[with_momentum ? 2 : 1];
      average = c.alpha * average + c.one_minus_alpha * g;
      square = square - average * average;
      square = square > 0 ? square : T(0);  // rounding, or states in few bits
    }
    const T step = g / (std::sqrt(square) + c.eps);
    if constexpr (with_momentum) {
      s[1] = c.momentum * s[1] + step;
      p = p - c.lr * s[1];
    } else {
      p = p - c.lr * step;
    }
  }
};

struct Rmsprop : RmspropForm<false, false, RmspropPlain> {
  static constexpr const char* name = "rmsprop";
  static constexpr State states[] = {{"square_avg", StateKind::square}};
};
struct RmspropMomentum : RmspropForm<false, true, RmspropHeavy> {
  static constexpr const char* name = "rmsprop_momentum";
  static constexpr State states[] = {{"square_avg", StateKind::square}, {"momentum_buffer", StateKind::average}};
};
struct RmspropCentered : RmspropForm<true, false, RmspropPlain> {
  static constexpr const char* name = "rmsprop_centered";
  static constexpr State states[] = {{"square_avg", StateKind::square}, {"grad_avg", StateKind::average}};
};
struct RmspropCenteredMomentum : RmspropForm<true, true, RmspropHeavy> {
  static constexpr const char* name = "rmsprop_centered_momentum";
  static constexpr State states[] = {
      {"square_avg", StateKind::square}, {"momentum_buffer", StateKind::average}, {"grad_avg", StateKind::average}};
};

}  // namespace
}  // namespace petrain::kernels
