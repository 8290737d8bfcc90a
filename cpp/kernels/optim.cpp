#include "optim.hpp"

#include "block.hpp"
#include "lanes.hpp"
#include "step_fake_quant.hpp"

namespace petrain::kernels {
namespace {

template <class Rule>
constexpr int state_count() {
  if constexpr (requires { Rule::states; }) return sizeof(Rule::states) / sizeof(State);
  return 0;
}

template <class Rule>
constexpr bool is_layerwise = requires { &Rule::template direction<float>; };

// Whether a function of a layerwise rule writes the states, which it does not if it takes them as const T*.
template <class Rule, class T>
constexpr bool direction_writes =
    !requires(const typename Rule::template Coefficients<T>& c, T x, const T* s) { Rule::direction(c, x, x, s); };
template <class Rule, class T>
constexpr bool apply_writes =
    !requires(const typename Rule::template Coefficients<T>& c, T x, T& p, const T* s) { Rule::apply(c, x, p, x, s); };

// The arrays of a block, or of a whole chunk where nothing needs converting.
template <class T>
struct Arrays {
  T* __restrict param;
  const T* __restrict grad;
  T* __restrict state[kMaxStates];
  T scale;               // of grad
  const StepMask* mask;  // of grad too, or null
};

// Every rule's loop: `each` gets the element's parameter, its scaled gradient and its states; `gradient` makes that out
// of the parameter and of the gradient as it is. No `omp simd` here: it would pin the array s to memory before `each`
// is inlined; __restrict says all that the vectorizer needs to know. Not inlined, so that one loop serves whole chunks
// and converted blocks.
template <int states, bool writes_param, bool writes_states, class T, class Gradient, class Each>
__attribute__((noinline)) void for_each_element(const Arrays<T>& arrays, std::ptrdiff_t size, Gradient gradient,
                                                Each each) {
  const T scale = arrays.scale;
  T* __restrict param = arrays.param;
  const T* __restrict grad = arrays.grad;
  T* __restrict state0 = arrays.state[0];
  T* __restrict state1 = arrays.state[1];
  T* __restrict state2 = arrays.state[2];
#pragma GCC ivdep
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    T s[kMaxStates] = {};
    if constexpr (states > 0) s[0] = state0[i];
    if constexpr (states > 1) s[1] = state1[i];
    if constexpr (states > 2) s[2] = state2[i];
    T p = param[i];
    each(i, p, gradient(i, p, grad[i]) * scale, s);
    if constexpr (writes_param) param[i] = p;
    if constexpr (writes_states && states > 0) state0[i] = s[0];
    if constexpr (writes_states && states > 1) state1[i] = s[1];
    if constexpr (writes_states && states > 2) state2[i] = s[2];
  }
}

template <int states, bool writes_param, bool writes_states, class T, class Each>
void for_each_element(const Arrays<T>& arrays, std::ptrdiff_t size, Each each) {
  for_each_element<states, writes_param, writes_states>(arrays, size, [](std::ptrdiff_t, T, T g) { return g; }, each);
}

template <class T>
constexpr Storage native = sizeof(T) == 8 ? Storage::f64 : Storage::f32;

template <class T>
__attribute__((noinline)) void scale_and_bound(const T* grad, T* to, std::ptrdiff_t size, T scale, T most) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) to[i] = bounded(grad[i] * scale, most);
}

// body(arrays, size) over the whole chunk in place or, where an array is stored otherwise than it is computed with,
// block by block, with a converted copy of that array. Never more than `most` elements at once. The body of one that
// `masks` does so itself where it finds arrays.mask.
template <int states, bool masks, class T, class Body>
void in_blocks(const StepArgs& args, bool writes_param, bool writes_states, std::ptrdiff_t most, Body body) {
  const bool param_converts = args.param_storage != native<T> || args.rounding != Rounding::nearest;
  StepCopy<T> copy(args);
  const StepMask mask = copy.on() ? copy.mask() : StepMask{};
  const bool bounded = args.max_value < HUGE_VAL;
  const bool grad_converts = args.grad_storage != native<T>;
  bool state_converts[kMaxStates] = {}, any = param_converts || grad_converts || bounded;
  for (int s = 0; s < states; ++s) {
    state_converts[s] = args.state[s].storage != native<T>;
    any = any || state_converts[s];
  }
  alignas(64) T param[kBlock], grad[kBlock], state[kMaxStates][kBlock];
  const std::ptrdiff_t shift = args.grad_begin - args.begin;
  const std::ptrdiff_t end = args.begin + args.size, step = any || copy.on() ? kBlock : most;
  for (std::ptrdiff_t begin = args.begin; begin < end; begin += step) {
    const std::ptrdiff_t size = end - begin < step ? end - begin : step;
    Arrays<T> arrays{param, grad, {}, bounded ? T(1) : static_cast<T>(args.grad_scale), nullptr};
    int quarter = 0;
    const auto prefetch_next = [&] {
      if (!any || quarter == 4) return;
      prefetch(args.param, args.param_storage, begin + step, quarter);
      prefetch(args.grad, args.grad_storage, begin + shift + step, quarter);
      for (int s = 0; s < states; ++s) prefetch(args.state[s].data, args.state[s].storage, begin + step, quarter);
      ++quarter;
    };
    if (param_converts) {
      load_param(args, begin, param, size);
    } else {
      arrays.param = static_cast<T*>(args.param) + begin;
    }
    if (grad_converts) {
      load(args.grad, args.grad_storage, begin + shift, grad, size);
    } else {
      arrays.grad = static_cast<const T*>(args.grad) + begin + shift;
    }
    if (copy.on()) {
      copy.start(size);
      if (masks && !bounded) {
        arrays.mask = &mask;
      } else {
        copy.apply_mask(arrays.param, arrays.grad, grad, size);
        arrays.grad = grad;
      }
    }
    if (bounded) {
      scale_and_bound(arrays.grad, grad, size, static_cast<T>(args.grad_scale), static_cast<T>(args.max_value));
      arrays.grad = grad;
    }
    for (int s = 0; s < states; ++s) {
      prefetch_next();
      if (state_converts[s]) load_state(args.state[s], begin, state[s], size);
      arrays.state[s] = state_converts[s] ? state[s] : static_cast<T*>(args.state[s].data) + begin;
    }
    prefetch_next();
    body(arrays, size);
    if (param_converts && writes_param) store_param(args, begin, param, size);
    if (copy.on() && writes_param) copy.finish(arrays.param, begin, size);
    for (int s = 0; s < states; ++s) {
      prefetch_next();
      if (state_converts[s] && writes_states) store_state(args.state[s], begin, state[s], size, state_key(args.key, s));
    }
  }
}

template <class Rule, class T>
auto coefficients_of(const StepArgs& args) {
  typename Rule::template Coefficients<T> coefficients;
  __builtin_memcpy(&coefficients, args.coefficients, sizeof coefficients);
  return coefficients;
}

template <class Rule, class T>
void step(const StepArgs& args) {
  constexpr int states = state_count<Rule>();
  constexpr bool writes_states = !is_layerwise<Rule> || apply_writes<Rule, T>;
  const auto c = coefficients_of<Rule, T>(args);
  [[maybe_unused]] const T trust = static_cast<T>(args.trust);
  const auto each = [c, trust](std::ptrdiff_t, T& p, T g, T* s) {
    if constexpr (is_layerwise<Rule>) {
      Rule::apply(c, trust, p, g, s);
    } else {
      Rule::update(c, p, g, s);
    }
  };
  constexpr bool masks = native<T> == Storage::f32 && !is_layerwise<Rule>;
  in_blocks<states, masks, T>(args, true, writes_states, args.size, [&](const Arrays<T>& arrays, std::ptrdiff_t size) {
    if constexpr (masks) {
      if (arrays.mask != nullptr) {
        const auto mask = [own = *arrays.mask](std::ptrdiff_t i, T p, T g) { return own.gradient(i, p, g); };
        return for_each_element<states, true, writes_states>(arrays, size, mask, each);
      }
    }
    for_each_element<states, true, writes_states>(arrays, size, each);
  });
}

template <class Rule, class T>
LayerSums direct(const StepArgs& args) {
  constexpr int states = state_count<Rule>();
  constexpr bool writes_states = direction_writes<Rule, T>;
  static_assert(states == 0 || writes_states != apply_writes<Rule, T>, "a state is advanced once for each step");
  const auto c = coefficients_of<Rule, T>(args);
  double param_lanes[kLanes] = {}, direction_lanes[kLanes] = {};
  in_blocks<states, false, T>(args, false, writes_states, kBlock, [&](const Arrays<T>& arrays, std::ptrdiff_t size) {
    alignas(64) T directions[kBlock];
    T* __restrict out = directions;
    const auto each = [c, out](std::ptrdiff_t i, T& p, T g, T* s) { out[i] = Rule::direction(c, p, g, s); };
    for_each_element<states, false, writes_states>(arrays, size, each);
    add_squares(arrays.param, size, param_lanes);
    add_squares(directions, size, direction_lanes);
  });
  return {sum_lanes(param_lanes), sum_lanes(direction_lanes)};
}

template <class Rule, class T>
constexpr auto direct_or_null() -> LayerSums (*)(const StepArgs&) {
  if constexpr (is_layerwise<Rule>) return direct<Rule, T>;
  return nullptr;
}

void add_weighted(float* __restrict sum, const float* __restrict grad, float weight, std::ptrdiff_t size, bool first) {
  if (first) {
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < size; ++i) sum[i] = weight * grad[i];
  } else {
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < size; ++i) sum[i] += weight * grad[i];
  }
}

// body(begin, gradients, size) with at most kBlock of them at a time, in float32.
template <class Body>
void for_gradients(const AccumulateArgs& args, Body body) {
  alignas(64) float block[kBlock] = {};
  for (std::ptrdiff_t begin = args.begin, end = begin + args.size; begin < end; begin += kBlock) {
    const std::ptrdiff_t count = end - begin < kBlock ? end - begin : kBlock;
    load(args.grad, args.grad_storage, begin, block, count);
    body(begin, block, count);
  }
}

template <class Group>
void accumulate_groups(const AccumulateArgs& args) {
  alignas(64) float grad[kGroup] = {}, sum[kGroup] = {};
  for_gradients(args, [&](std::ptrdiff_t begin, const float* block, std::ptrdiff_t size) {
    for_each_group(begin, size, [&](std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t group) {
      Group& own = static_cast<Group*>(args.sum)[group];
      for (std::ptrdiff_t i = 0; i < kGroup; ++i) grad[i] = i < count ? block[first + i] : 0.0f;
      if (!args.first) load_sum(own, sum);
      add_weighted(sum, grad, args.weight, kGroup, args.first);
      store_sum(own, sum, dither_start(args.key, group));
    });
  });
}

void accumulate(const AccumulateArgs& args) {
  if (args.sum_storage == Storage::sum_bf16) return accumulate_groups<SumBf16>(args);
  if (args.sum_storage == Storage::sum_code8) return accumulate_groups<SumCode8>(args);
  auto* sum = static_cast<float*>(args.sum);
  if (args.grad_storage == Storage::f32) {
    const auto* grad = static_cast<const float*>(args.grad);
    return add_weighted(sum + args.begin, grad + args.begin, args.weight, args.size, args.first);
  }
  for_gradients(args, [&](std::ptrdiff_t begin, const float* block, std::ptrdiff_t size) {
    add_weighted(sum + begin, block, args.weight, size, args.first);
  });
}

}  // namespace

extern const OptimTable PETRAIN_TABLE(optim) = {
#define PETRAIN_X(Rule) {step<Rule, float>, step<Rule, double>},
    {PETRAIN_FOR_EACH_RULE(PETRAIN_X)},
#undef PETRAIN_X
#define PETRAIN_X(Rule) {direct_or_null<Rule, float>(), direct_or_null<Rule, double>()},
    {PETRAIN_FOR_EACH_RULE(PETRAIN_X)},
#undef PETRAIN_X
    accumulate,
};

}  // namespace petrain::kernels
