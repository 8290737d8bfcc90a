// What an optimizer holds; optimizer_step.cpp is what it does.
#include <algorithm>
#include <bit>
#include <limits>

#include "checks.hpp"
#include "chunks.hpp"
#include "isa.hpp"
#include "petrain/optim.hpp"
#include "rule_list.hpp"
#include "storage.hpp"

namespace petrain {
namespace {

const std::byte* begin_of(const ConstTensorView& view) { return view.as<std::byte>(); }
const std::byte* end_of(const ConstTensorView& view) {
  return begin_of(view) + static_cast<std::size_t>(view.size()) * dtype_size(view.dtype);
}

template <class T>
void fill(Tensor& tensor, T value) {
  std::fill_n(tensor.as<T>(), tensor.size(), value);
}

// Makes every element the value, which is not negative, rounded to what the state is stored in.
void fill_state(Tensor& state, Tensor& scales, double value, const std::string& what) {
  if (state.dtype() == DType::f64) return fill(state, value);
  if (value > std::numeric_limits<float>::max()) {
    throw std::invalid_argument(what + ": the initial value of a state must be within float32, got " +
                                number_text(value));
  }
  const auto single = static_cast<float>(value);
  switch (state.dtype()) {
    case DType::f32:
      return fill(state, single);
    case DType::bf16: {
      const auto bits = std::bit_cast<std::uint32_t>(single);
      return fill(state, static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16));  // to the nearest even
    }
    default:  // the greatest code stands for the scale itself
      fill(state, static_cast<std::uint8_t>(state.dtype() == DType::i8 ? 127 : 255));
      return fill(scales, single);
  }
}

}  // namespace

Optimizer::Optimizer(std::vector<ParamGroup> groups, std::uint64_t seed) : seed_(seed) {
  for (ParamGroup& group : groups) add_group(std::move(group));
  if (params_.empty()) throw std::invalid_argument("expected at least one parameter, got none");
}

void Optimizer::add_group(ParamGroup given) {
  const std::size_t group = groups_.size(), first = params_.size();
  const int index = find_rule(given.rule);
  if (given.state_dtype && *given.state_dtype != DType::f32 && *given.state_dtype != DType::bf16 &&
      *given.state_dtype != DType::i8) {
    throw std::invalid_argument(std::string("state_dtype: expected float32, bfloat16 or int8, got ") +
                                dtype_name(*given.state_dtype));
  }
  groups_.push_back({index, {}, given.state_dtype, given.rounding});
  try {
    for (const kernels::Hyper& hyper : rule_list()[index].hypers) groups_.back().hypers.push_back(hyper.value);
    for (const auto& [name, value] : given.hypers) {
      check_range(rule_list()[index].hypers[hyper_index(group, name)], value);
      set_hyper(group, name, value);
    }
    for (TensorView& view : given.params) params_.push_back(make_param(std::move(view), group));
    sort_by_address();
    check_fake_quants();
  } catch (...) {
    groups_.pop_back();
    params_.erase(params_.begin() + static_cast<std::ptrdiff_t>(first), params_.end());
    std::erase_if(by_address_, [&](std::size_t i) { return i >= first; });
    throw;
  }
  link_fake_quants();
  for (std::size_t i = first; i < params_.size(); ++i) {
    elements_ += params_[i].view.size();
    for_each_chunk(i, params_[i].view.size(), [&](std::size_t param, std::int64_t begin, std::int64_t size) {
      chunks_.push_back({param, begin, size, begin});
    });
  }
}

Optimizer::Param Optimizer::make_param(TensorView view, std::size_t group) const {
  const std::string what = "parameter " + std::to_string(params_.size());
  require_float(view, what);
  const Rule& rule = rule_list()[groups_[group].rule];
  const Rounding rounding = groups_[group].rounding;
  const double* hypers = groups_[group].hypers.data();
  if (rule.matrix) rule.matrix->check(view.shape, hypers, what);
  const DType computed = view.dtype == DType::f64 && !rule.matrix ? DType::f64 : DType::f32;
  const bool half = view.dtype == DType::f16 || view.dtype == DType::bf16;
  if (rounding != Rounding::nearest && !half) {
    throw std::invalid_argument(what + ": only parameters of 16 bits can be rounded other than to the nearest, got " +
                                dtype_name(view.dtype));
  }
  Param param{std::move(view), group};
  for (std::size_t i = 0; i < rule.memory.size(); ++i) param.memory[i] = rule.memory[i].value;
  for (const StateSpec& state : states_of(rule, param.view.shape, hypers)) {
    DType dtype = computed;
    if (state.kind != kernels::StateKind::exact) dtype = groups_[group].state_dtype.value_or(computed);
    const bool codes = dtype == DType::i8;
    if (codes && state.kind == kernels::StateKind::square) dtype = DType::u8;
    const std::size_t offset = 1088 * (param.states.size() + 1);  // arrays of the caller begin near that of a page
    param.states.push_back(Tensor::staggered(dtype, state.shape, offset));
    const std::int64_t size = param.states.back().size();
    const std::int64_t groups_of_codes = codes ? (size + kCodesPerScale - 1) / kCodesPerScale : 0;
    param.scales.emplace_back(DType::f32, Shape{groups_of_codes});
    if (state.initial != 0) fill_state(param.states.back(), param.scales.back(), state.initial, what);
  }
  if (rounding == Rounding::kahan) param.extra = Tensor(param.view.dtype, param.view.shape);
  if (rounding == Rounding::master) {
    // Σ 1 p: the sum of one gradient is a copy in float32.
    param.extra = Tensor(DType::f32, param.view.shape);
    active_kernels().optim->accumulate(
        {param.extra.as<float>(), param.view.data, storage_of(param.view.dtype), 0, param.view.size(), 1.0f, true});
  }
  return param;
}

// Where two parameters share memory, two neighbours in the order of their addresses do.
void Optimizer::sort_by_address() {
  by_address_.clear();
  for (std::size_t i = 0; i < params_.size(); ++i) {
    if (params_[i].view.size() > 0) by_address_.push_back(i);
  }
  std::sort(by_address_.begin(), by_address_.end(),
            [&](std::size_t a, std::size_t b) { return begin_of(params_[a].view) < begin_of(params_[b].view); });
  for (std::size_t i = 1; i < by_address_.size(); ++i) {
    const auto [first, second] = std::minmax(by_address_[i - 1], by_address_[i]);
    if (begin_of(params_[by_address_[i]].view) < end_of(params_[by_address_[i - 1]].view)) {
      throw std::invalid_argument("parameters " + std::to_string(first) + " and " + std::to_string(second) +
                                  " share memory: each parameter may be given once");
    }
  }
}

// Kernels take it that what they write is not what they read.
void Optimizer::check_apart(const ConstTensorView& grad, std::size_t index) const {
  if (grad.size() == 0) return;
  const auto param = std::partition_point(by_address_.begin(), by_address_.end(),
                                          [&](std::size_t i) { return end_of(params_[i].view) <= begin_of(grad); });
  if (param != by_address_.end() && begin_of(params_[*param].view) < end_of(grad)) {
    throw std::invalid_argument("gradient " + std::to_string(index) + " shares memory with parameter " +
                                std::to_string(*param));
  }
}

const RuleInfo& Optimizer::rule(std::size_t group) const { return rule_list()[groups_.at(group).rule].info; }

std::size_t Optimizer::hyper_index(std::size_t group, const std::string& name) const {
  return find_hyper(rule_list()[groups_.at(group).rule], name);
}

double Optimizer::hyper(std::size_t group, const std::string& name) const {
  return groups_.at(group).hypers[hyper_index(group, name)];
}

void Optimizer::set_hyper(std::size_t group, const std::string& name, double value) {
  const std::size_t index = hyper_index(group, name);
  kernels::Hyper hyper = rule_list()[groups_.at(group).rule].hypers[index];
  // Warm-ups begin and schedules end at 0; an optimizer that is made with it is a mistake.
  if (name == "lr") hyper.range = kernels::Range::non_negative;
  check_range(hyper, value);
  double& own = groups_.at(group).hypers[index];
  const auto is_here = [&](const Param& param) { return param.group == group; };
  if (hyper.fixed && own != value && std::any_of(params_.begin(), params_.end(), is_here)) {
    throw std::invalid_argument(name + " cannot be changed once there are states of its shape: it is " +
                                number_text(own) + ", got " + number_text(value));
  }
  own = value;
}

void Optimizer::set_steps(std::size_t param, std::int64_t steps) {
  if (steps < 0) throw std::invalid_argument("steps must be at least 0, got " + std::to_string(steps));
  params_.at(param).steps = steps;
}

std::map<std::string, double> Optimizer::memory(std::size_t param) const {
  const Param& own = params_.at(param);
  std::map<std::string, double> result;
  const auto& names = rule(own.group).memory;
  for (std::size_t i = 0; i < names.size(); ++i) result[names[i]] = own.memory[i];
  return result;
}

void Optimizer::set_memory(std::size_t param, const std::string& name, double value) {
  const auto& names = rule(params_.at(param).group).memory;
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) throw std::invalid_argument("the rule keeps no number \"" + name + "\"");
  params_[param].memory[static_cast<std::size_t>(found - names.begin())] = value;
}

std::span<double> Optimizer::memory_values(std::size_t param) {
  Param& own = params_.at(param);
  return {own.memory.data(), rule(own.group).memory.size()};
}

std::vector<std::pair<std::string, TensorView>> Optimizer::state(std::size_t param) {
  Param& own = params_.at(param);
  const Group& group = groups_[own.group];
  const auto specs = states_of(rule_list()[group.rule], own.view.shape, group.hypers.data());
  std::vector<std::pair<std::string, TensorView>> result;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    result.emplace_back(specs[i].name, own.states[i].view());
    if (dtype_size(own.states[i].dtype()) == 1) result.emplace_back(specs[i].name + "_scale", own.scales[i].view());
  }
  const Rounding rounding = group.rounding;
  if (rounding == Rounding::kahan) result.emplace_back("compensation", own.extra.view());
  if (rounding == Rounding::master) result.emplace_back("master", own.extra.view());
  return result;
}

std::size_t Optimizer::state_bytes() const {
  std::size_t bytes = 0;
  for (const Param& param : params_) {
    bytes += param.extra.nbytes();
    for (const Tensor& state : param.states) bytes += state.nbytes();
    for (const Tensor& scale : param.scales) bytes += scale.nbytes();
  }
  return bytes;
}

}  // namespace petrain
