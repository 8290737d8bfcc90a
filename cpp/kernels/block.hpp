// A block of a tensor on its way between storage and the type that a rule computes in. Not inlined: every rule shares
// these.
#pragma once

#include "codes.hpp"
#include "load.hpp"
#include "optim.hpp"

namespace petrain::kernels {
namespace {

// Sixteen bits are rounded to the nearest or, with random numbers of `key`, stochastically.
template <class T>
__attribute__((noinline)) void store(void* to, Storage storage, std::ptrdiff_t begin, const T* from,
                                     std::ptrdiff_t size, bool stochastic, std::uint32_t key) {
  const auto first = static_cast<std::uint32_t>(begin);
  if (storage == Storage::f32) {
    auto* x = static_cast<float*>(to) + begin;
    for (std::ptrdiff_t i = 0; i < size; ++i) x[i] = static_cast<float>(from[i]);
    return;
  }
  if (storage == Storage::f64) {
    auto* x = static_cast<double*>(to) + begin;
    for (std::ptrdiff_t i = 0; i < size; ++i) x[i] = static_cast<double>(from[i]);
    return;
  }
  auto* x = static_cast<std::uint16_t*>(to) + begin;
  const bool brain = storage == Storage::bf16;
  if (stochastic && brain) {
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < size; ++i) {
      x[i] = to_bfloat16(static_cast<float>(from[i]), random_of(key, first + static_cast<std::uint32_t>(i)));
    }
  } else if (stochastic) {
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < size; ++i) {
      x[i] = to_float16(static_cast<float>(from[i]), random_of(key, first + static_cast<std::uint32_t>(i)));
    }
  } else if (brain) {
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < size; ++i) x[i] = to_bfloat16(static_cast<float>(from[i]));
  } else {
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < size; ++i) x[i] = to_float16(static_cast<float>(from[i]));
  }
}

// Code8 is float32's business: a rule that computes in float64 goes through a float32 block.
template <class T>
__attribute__((noinline)) void load_state(const StateArgs& state, std::ptrdiff_t begin, T* to, std::ptrdiff_t size) {
  if (state.storage != Storage::code8) return load(state.data, state.storage, begin, to, size);
  alignas(64) float x[kGroup];
  for (std::ptrdiff_t group = 0; group < size; group += kGroup) {
    const std::ptrdiff_t count = size - group < kGroup ? size - group : kGroup;
    const float scale = state.scale[(begin + group) / kGroup];
    if (state.kind == StateKind::average) {
      load_average(static_cast<const std::int8_t*>(state.data) + begin + group, scale, x, count);
    } else {
      load_square(static_cast<const std::uint8_t*>(state.data) + begin + group, scale, x, count);
    }
    for (std::ptrdiff_t i = 0; i < count; ++i) to[group + i] = static_cast<T>(x[i]);
  }
}

template <class T>
__attribute__((noinline)) void store_state(const StateArgs& state, std::ptrdiff_t begin, const T* from,
                                           std::ptrdiff_t size, std::uint32_t key) {
  if (state.storage != Storage::code8) return store(state.data, state.storage, begin, from, size, true, key);
  alignas(64) float x[kGroup];
  for (std::ptrdiff_t group = 0; group < size; group += kGroup) {
    const std::ptrdiff_t count = size - group < kGroup ? size - group : kGroup;
    const auto index = static_cast<std::uint32_t>(begin + group);
    for (std::ptrdiff_t i = 0; i < count; ++i) x[i] = static_cast<float>(from[group + i]);
    state.scale[(begin + group) / kGroup] =
        state.kind == StateKind::average
            ? store_average(static_cast<std::int8_t*>(state.data) + begin + group, x, count, key, index)
            : store_square(static_cast<std::uint8_t*>(state.data) + begin + group, x, count, key, index);
  }
}

template <class T>
__attribute__((noinline)) void load_param(const StepArgs& args, std::ptrdiff_t begin, T* to, std::ptrdiff_t size) {
  if (args.rounding == Rounding::master) return load(args.extra, Storage::f32, begin, to, size);
  load(args.param, args.param_storage, begin, to, size);
  if (args.rounding != Rounding::kahan) return;
  T cut[kBlock];
  load(args.extra, args.param_storage, begin, cut, size);
  for (std::ptrdiff_t i = 0; i < size; ++i) to[i] += cut[i];
}

template <class T>
__attribute__((noinline)) void store_param(const StepArgs& args, std::ptrdiff_t begin, const T* from,
                                           std::ptrdiff_t size) {
  store(args.param, args.param_storage, begin, from, size, args.rounding == Rounding::stochastic, args.key);
  if (args.rounding == Rounding::master) {
    store(args.extra, Storage::f32, begin, from, size, false, 0);
  } else if (args.rounding == Rounding::kahan) {
    T cut[kBlock];
    load(args.param, args.param_storage, begin, cut, size);
    for (std::ptrdiff_t i = 0; i < size; ++i) cut[i] = from[i] - cut[i];
    store(args.extra, args.param_storage, begin, cut, size, false, 0);
  }
}

}  // namespace
}  // namespace petrain::kernels
