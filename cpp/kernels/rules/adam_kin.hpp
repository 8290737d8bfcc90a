// Rules near Adam, in the form of torch.optim: Adamax (Kingma, Ba, arXiv 1412.6980), NAdam (Dozat, ICLR workshop 2016),
// RAdam (Liu et al., On the Variance of the Adaptive Learning Rate and Beyond, arXiv 1908.03265).
#pragma once

#include "rule.hpp"

namespace petrain::kernels {
namespace {

struct Adamax {
  static constexpr const char* name = "adamax";
  enum { lr, beta1, beta2, eps, weight_decay };
  static constexpr Hyper hypers[] = {{"lr", 2e-3, Range::positive},
                                     {"beta1", 0.9, Range::unit},
                                     {"beta2", 0.999, Range::unit},
                                     {"eps", 1e-8, Range::divisor},
                                     {"weight_decay", 0, Range::non_negative}};
  static constexpr State states[] = {{"exp_avg", StateKind::average}, {"exp_inf", StateKind::square}};

  template <class T>
  struct Coefficients {
    T beta1, one_minus_beta1, beta2, step_size, eps, weight_decay;
  };

  template <class T>
  static Coefficients<T> prepare(const double* h, double t, double*) {
    return {T(h[beta1]), T(1 - h[beta1]),   T(h[beta2]), T(h[lr] / (1 - power(h[beta1], t))),
            T(h[eps]),   T(h[weight_decay])};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    g = g + c.weight_decay * p;
    s[0] = c.beta1 * s[0] + c.one_minus_beta1 * g;
    const T faded = c.beta2 * s[1], now = (g < 0 ? -g : g) + c.eps;
    s[1] = faded > now ? faded : now;
    p = p - c.step_size * (s[0] / s[1]);
  }
};

struct NAdam {
  static constexpr const char* name = "nadam";
  enum { lr, beta1, beta2, eps, weight_decay, momentum_decay, decoupled_weight_decay };
  static constexpr Hyper hypers[] = {{"lr", 2e-3, Range::positive},
                                     {"beta1", 0.9, Range::unit},
                                     {"beta2", 0.999, Range::unit},
                                     {"eps", 1e-8, Range::divisor},
                                     {"weight_decay", 0, Range::non_negative},
                                     {"momentum_decay", 4e-3, Range::non_negative},
                                     {"decoupled_weight_decay", 0, Range::flag}};
  static constexpr State states[] = {{"exp_avg", StateKind::average}, {"exp_avg_sq", StateKind::square}};
  static constexpr Memory memory[] = {{"mu_product", 1}};

  template <class T>
  struct Coefficients {
    T beta1, one_minus_beta1, beta2, one_minus_beta2, gradient_step, average_step, root_correction, eps, weight_decay,
        decay;
  };

  // The momentum of step t, which grows to beta1.
  static double mu(const double* h, double t) {
    constexpr double kLog = -0.040821994520255166;  // ln 0.96
    return h[beta1] * (1 - 0.5 * exponential(kLog * t * h[momentum_decay]));
  }

  template <class T>
  static Coefficients<T> prepare(const double* h, double t, double* mu_product) {
    const double now = mu(h, t), next = mu(h, t + 1);
    *mu_product *= now;
    const bool decoupled = h[decoupled_weight_decay] != 0;
    return {T(h[beta1]),
            T(1 - h[beta1]),
            T(h[beta2]),
            T(1 - h[beta2]),
            T(h[lr] * (1 - now) / (1 - *mu_product)),
            T(h[lr] * next / (1 - *mu_product * next)),
            T(1 / std::sqrt(1 - power(h[beta2], t))),
            T(h[eps]),
            T(decoupled ? 0 : h[weight_decay]),
            T(decoupled ? h[lr] * h[weight_decay] : 0)};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    g = g + c.weight_decay * p;
    s[0] = c.beta1 * s[0] + c.one_minus_beta1 * g;
    s[1] = c.beta2 * s[1] + c.one_minus_beta2 * (g * g);
    const T step = (c.gradient_step * g + c.average_step * s[0]) / (std::sqrt(s[1]) * c.root_correction + c.eps);
    p = p - (c.decay * p + step);
  }
};

struct RAdam {
  static constexpr const char* name = "radam";
  enum { lr, beta1, beta2, eps, weight_decay, decoupled_weight_decay };
  static constexpr Hyper hypers[] = {{"lr", 1e-3, Range::positive},
                                     {"beta1", 0.9, Range::unit},
                                     {"beta2", 0.999, Range::unit},
                                     {"eps", 1e-8, Range::divisor},
                                     {"weight_decay", 0, Range::non_negative},
                                     {"decoupled_weight_decay", 0, Range::flag}};
  static constexpr State states[] = {{"exp_avg", StateKind::average}, {"exp_avg_sq", StateKind::square}};

  template <class T>
  struct Coefficients {
    T beta1, one_minus_beta1, beta2, one_minus_beta2, step_size, root, constant, weight_decay, decay;
  };

  // The divisor is √v + eps where the variance is tractable, else 1.
  template <class T>
  static Coefficients<T> prepare(const double* h, double t, double*) {
    const double faded = power(h[beta2], t), correction2 = 1 - faded;
    const double longest = 2 / (1 - h[beta2]) - 1, length = longest - 2 * t * faded / correction2;
    const bool rectified = length > 5;
    double step = h[lr] / (1 - power(h[beta1], t));
    if (rectified) {
      step *= std::sqrt(correction2 * (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length));
    }
    const bool decoupled = h[decoupled_weight_decay] != 0;
    return {T(h[beta1]),
            T(1 - h[beta1]),
            T(h[beta2]),
            T(1 - h[beta2]),
            T(step),
            T(rectified ? 1 : 0),
            T(rectified ? h[eps] : 1),
            T(decoupled ? 0 : h[weight_decay]),
            T(decoupled ? h[lr] * h[weight_decay] : 0)};
  }

  template <class T>
  static void update(const Coefficients<T>& c, T& p, T g, T* s) {
    g = g + c.weight_decay * p;
    s[0] = c.beta1 * s[0] + c.one_minus_beta1 * g;
    s[1] = c.beta2 * s[1] + c.one_minus_beta2 * (g * g);
    p = p - (c.decay * p + c.step_size * (s[0] / (std::sqrt(s[1]) * c.root + c.constant)));
  }
};

}  // namespace
}  // namespace petrain::kernels
