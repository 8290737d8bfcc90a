#include "optim.hpp"

#include "block.hpp"
#include "lanes.hpp"

namespace petrain::kernels {
namespace {

template <class Rule>
constexpr int state_count() {
  if constexpr (requires { Rule::states; }) return sizeof(Rule::states) / sizeof(State);
  return 0;
}

template <class Rule>
constexpr bool is_layerwise = requires { &Rule::template direction<float>; };

template <class T>
T bounded(T x, T most) {
  x = x < most ? x : most;
  return x > -most ? x : -most;
}

// The arrays of a block, or of a whole chunk where nothing needs converting.
template <class T>
struct Arrays {
  T* __restrict param;
  const T* __restrict grad;
  T* __restrict state[kMaxStates];
};

// Every rule's loop: `each` gets the element's parameter, its scaled gradient and its states. No `omp simd` here: it
// would pin the array s to memory before `each` is inlined; __restrict says all that the vectorizer needs to know.
// Not inlined, so that one loop serves whole chunks and converted blocks.
template <int states, class T, class Each>
__attribute__((noinline)) void for_each_element(const Arrays<T>& arrays, std::ptrdiff_t size, T scale, T most,
                                                Each each) {
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
    each(p, bounded(grad[i] * scale, most), s);
    param[i] = p;
    if constexpr (states > 0) state0[i] = s[0];
    if constexpr (states > 1) state1[i] = s[1];
    if constexpr (states > 2) state2[i] = s[2];
  }
}

template <class T>
constexpr Storage native = sizeof(T) == 8 ? Storage::f64 : Storage::f32;

template <int states, class T>
bool needs_no_conversion(const StepArgs& args) {
  bool same = args.param_storage == native<T> && args.grad_storage == native<T>;
  for (int s = 0; s < states; ++s) same = same && args.state[s].storage == native<T>;
  return same;
}

// body(arrays, size) over the whole chunk in place, or block by block through the type of computation.
template <int states, class T, class Body>
void in_blocks(const StepArgs& args, bool writes_param, Body body) {
  if (needs_no_conversion<states, T>(args)) {
    const std::ptrdiff_t begin = args.begin;
    Arrays<T> arrays{static_cast<T*>(args.param) + begin, static_cast<const T*>(args.grad) + begin, {}};
    for (int s = 0; s < states; ++s) arrays.state[s] = static_cast<T*>(args.state[s].data) + begin;
    body(arrays, args.size);
    return;
  }
  alignas(64) T param[kBlock], grad[kBlock], state[kMaxStates][kBlock];
  const std::ptrdiff_t end = args.begin + args.size;
  for (std::ptrdiff_t begin = args.begin; begin < end; begin += kBlock) {
    const std::ptrdiff_t size = end - begin < kBlock ? end - begin : kBlock;
    load_param(args, begin, param, size);
    load(args.grad, args.grad_storage, begin, grad, size);
    for (int s = 0; s < states; ++s) load_state(args.state[s], begin, state[s], size);
    body(Arrays<T>{param, grad, {state[0], state[1], state[2]}}, size);
    if (writes_param) store_param(args, begin, param, size);
    for (int s = 0; s < states; ++s) {
      const std::uint32_t key = args.key + 0x9e3779b9u * static_cast<std::uint32_t>(s + 1);
      store_state(args.state[s], begin, state[s], size, key);
    }
  }
}

template <class Rule, class T>
void step(const StepArgs& args) {
  constexpr int states = state_count<Rule>();
  typename Rule::template Coefficients<T> c;
  __builtin_memcpy(&c, args.coefficients, sizeof c);
  const T scale = static_cast<T>(args.grad_scale), most = static_cast<T>(args.max_value);
  [[maybe_unused]] const T trust = static_cast<T>(args.trust);
  in_blocks<states, T>(args, true, [&](const Arrays<T>& arrays, std::ptrdiff_t size) {
    for_each_element<states>(arrays, size, scale, most, [c, trust](T& p, T g, T* s) {
      if constexpr (is_layerwise<Rule>) {
        Rule::apply(c, trust, p, g, s);
      } else {
        Rule::update(c, p, g, s);
      }
    });
  });
}

template <class Rule, class T>
LayerSums direct(const StepArgs& args) {
  constexpr int states = state_count<Rule>();
  typename Rule::template Coefficients<T> c;
  __builtin_memcpy(&c, args.coefficients, sizeof c);
  const T scale = static_cast<T>(args.grad_scale), most = static_cast<T>(args.max_value);
  double param_lanes[kLanes] = {}, direction_lanes[kLanes] = {};
  in_blocks<states, T>(args, false, [&](const Arrays<T>& arrays, std::ptrdiff_t size) {
    alignas(64) T directions[kBlock];
    for (std::ptrdiff_t begin = 0; begin < size; begin += kBlock) {
      const std::ptrdiff_t count = size - begin < kBlock ? size - begin : kBlock;
      for (std::ptrdiff_t i = 0; i < count; ++i) {
        T s[kMaxStates] = {};
        for (int n = 0; n < states; ++n) s[n] = arrays.state[n][begin + i];
        directions[i] = Rule::direction(c, arrays.param[begin + i], bounded(arrays.grad[begin + i] * scale, most), s);
        for (int n = 0; n < states; ++n) arrays.state[n][begin + i] = s[n];
      }
      for (std::ptrdiff_t i = 0; i < count; ++i) {
        const double p = arrays.param[begin + i], d = directions[i];
        param_lanes[i % kLanes] += p * p;
        direction_lanes[i % kLanes] += d * d;
      }
    }
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

void accumulate(const AccumulateArgs& args) {
  float* sum = args.sum + args.begin;
  if (args.grad_storage == Storage::f32) {
    add_weighted(sum, static_cast<const float*>(args.grad) + args.begin, args.weight, args.size, args.first);
    return;
  }
  alignas(64) float block[kBlock];
  for (std::ptrdiff_t done = 0; done < args.size; done += kBlock) {
    const std::ptrdiff_t count = args.size - done < kBlock ? args.size - done : kBlock;
    load(args.grad, args.grad_storage, args.begin + done, block, count);
    add_weighted(sum + done, block, args.weight, count, args.first);
  }
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
