#include <algorithm>
#include <cmath>
#include <cstring>

#include "checks.hpp"
#include "chunks.hpp"
#include "isa.hpp"
#include "petrain/optim.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

// The coefficients of one (group, step) as bytes: each rule has its own type.
struct alignas(16) CoefficientBytes {
  unsigned char bytes[64];
};

struct Rule {
  RuleInfo info;
  std::vector<kernels::Hyper> hypers;
  CoefficientBytes (*prepare)(const double* hypers, double step);
};

template <class R>
CoefficientBytes prepare(const double* hypers, double step) {
  const auto coefficients = R::template prepare<float>(hypers, step);
  CoefficientBytes result{};
  static_assert(sizeof coefficients <= sizeof result.bytes);
  std::memcpy(result.bytes, &coefficients, sizeof coefficients);
  return result;
}

template <class R>
Rule describe() {
  Rule rule;
  rule.info.name = R::name;
  for (const kernels::Hyper& hyper : R::hypers) {
    rule.hypers.push_back(hyper);
    rule.info.hypers[hyper.name] = hyper.value;
  }
  for (int i = 0; i < R::state_count; ++i) rule.info.states.emplace_back(R::states[i]);
  rule.prepare = prepare<R>;
  return rule;
}

const std::vector<Rule>& rule_list() {
#define PETRAIN_X(R) describe<kernels::R>(),
  static const std::vector<Rule> list = {PETRAIN_FOR_EACH_RULE(PETRAIN_X)};
#undef PETRAIN_X
  return list;
}

int find_rule(const std::string& name) {
  std::string names;
  for (std::size_t i = 0; i < rule_list().size(); ++i) {
    if (rule_list()[i].info.name == name) return static_cast<int>(i);
    names += (i ? ", " : "") + rule_list()[i].info.name;
  }
  throw std::invalid_argument("unknown update rule \"" + name + "\"; this build has: " + names);
}

void check_range(const kernels::Hyper& hyper, double value) {
  const char* expected = nullptr;
  switch (hyper.range) {
    case kernels::Range::positive:
      if (!(value > 0)) expected = "greater than 0";
      break;
    case kernels::Range::non_negative:
      if (!(value >= 0)) expected = "at least 0";
      break;
    case kernels::Range::unit:
      if (!(value >= 0 && value < 1)) expected = "in [0, 1)";
      break;
    case kernels::Range::flag:
      if (value != 0 && value != 1) expected = "true or false";
      break;
  }
  if (!std::isfinite(value)) expected = "finite";
  if (expected != nullptr) {
    throw std::invalid_argument(std::string(hyper.name) + " must be " + expected + ", got " + number_text(value));
  }
}

const std::byte* begin_of(const ConstTensorView& view) { return view.as<std::byte>(); }
const std::byte* end_of(const ConstTensorView& view) {
  return begin_of(view) + static_cast<std::size_t>(view.size()) * dtype_size(view.dtype);
}

}  // namespace

const std::vector<RuleInfo>& rules() {
  static const std::vector<RuleInfo> infos = [] {
    std::vector<RuleInfo> list;
    for (const Rule& rule : rule_list()) list.push_back(rule.info);
    return list;
  }();
  return infos;
}

Optimizer::Optimizer(std::vector<ParamGroup> groups) {
  for (ParamGroup& given : groups) {
    const std::size_t group = groups_.size();
    const int index = find_rule(given.rule);
    const Rule& rule = rule_list()[index];
    groups_.push_back({index, {}});
    for (const kernels::Hyper& hyper : rule.hypers) groups_.back().hypers.push_back(hyper.value);
    for (const auto& [name, value] : given.hypers) set_hyper(group, name, value);
    for (TensorView& view : given.params) {
      if (view.dtype != DType::f32)
        require(view, DType::f32, view.shape, "parameter " + std::to_string(params_.size()));
      std::vector<Tensor> states;
      states.reserve(rule.info.states.size());
      for (std::size_t i = 0; i < rule.info.states.size(); ++i) states.emplace_back(DType::f32, view.shape);
      const std::int64_t size = view.size();
      params_.push_back({std::move(view), group, 0, std::move(states)});
      for_each_chunk(params_.size() - 1, size, [&](std::size_t param, std::int64_t begin, std::int64_t count) {
        chunks_.push_back({param, begin, count});
      });
    }
  }
  if (params_.empty()) throw std::invalid_argument("expected at least one parameter, got none");
  sort_by_address();
}

// Where two parameters share memory, two neighbours in the order of their addresses do.
void Optimizer::sort_by_address() {
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

StepInfo Optimizer::step(std::span<const ConstTensorView> grads, const StepOptions& options) {
  return step_scaled(grads, 1, options);
}

StepInfo Optimizer::step(GradAccumulator& accumulated, const StepOptions& options) {
  if (accumulated.count() == 0) throw std::invalid_argument("the accumulator is empty: add gradients first");
  const StepInfo info = step_scaled(accumulated.sums(), 1 / accumulated.weight(), options);
  accumulated.reset();
  return info;
}

StepInfo Optimizer::step_scaled(std::span<const ConstTensorView> grads, double scale, const StepOptions& options) {
  if (!(options.max_norm > 0)) {
    throw std::invalid_argument("max_norm must be greater than 0, got " + number_text(options.max_norm));
  }
  require_count(grads.size(), params_.size(), "gradients");
  // Parameters of one group that have made the same number of steps share their coefficients.
  std::vector<CoefficientBytes> coefficients;
  std::vector<std::size_t> coefficients_of(params_.size());
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const Param& param = params_[i];
    if (grads[i].dtype != DType::f32 || grads[i].shape != param.view.shape) {
      require(grads[i], DType::f32, param.view.shape, "gradient " + std::to_string(i));
    }
    check_apart(grads[i], i);
    if (i == 0 || param.group != params_[i - 1].group || param.steps != params_[i - 1].steps) {
      const Group& group = groups_[param.group];
      coefficients.push_back(
          rule_list()[group.rule].prepare(group.hypers.data(), static_cast<double>(param.steps + 1)));
    }
    coefficients_of[i] = coefficients.size() - 1;
  }

  const auto& kernels = active_kernels();
  const auto count = static_cast<std::int64_t>(chunks_.size());
  std::vector<double> squares(chunks_.size());
  StepInfo info;
  float grad_scale = 1;
  parallel(threads_for(count), [&](const Team& team) {
    const ChunkRange mine = team.share(count);
    for (std::int64_t i = mine.begin; i < mine.end; ++i) {
      const Chunk& chunk = chunks_[i];
      squares[i] = kernels.reduce->sum_of_squares(grads[chunk.param].as<float>() + chunk.begin, chunk.size);
    }
    team.barrier();
    if (team.rank == 0) {
      info.grad_norm = std::sqrt(tree_sum(squares)) * scale;
      info.skipped = !std::isfinite(info.grad_norm);
      const double clip = info.grad_norm > options.max_norm ? options.max_norm / (info.grad_norm + 1e-6) : 1;
      grad_scale = static_cast<float>(scale * std::min(clip, 1.0));
    }
    team.barrier();
    if (info.skipped) return;
    for (std::int64_t i = mine.begin; i < mine.end; ++i) {
      const Chunk& chunk = chunks_[i];
      Param& param = params_[chunk.param];
      kernels::StepArgs args{};
      args.param = param.view.as<float>() + chunk.begin;
      args.grad = grads[chunk.param].as<float>() + chunk.begin;
      for (std::size_t s = 0; s < param.states.size(); ++s) args.state[s] = param.states[s].as<float>() + chunk.begin;
      args.size = chunk.size;
      args.grad_scale = grad_scale;
      args.coefficients = coefficients[coefficients_of[chunk.param]].bytes;
      kernels.optim->step[groups_[param.group].rule](args);
    }
  });
  if (!info.skipped) {
    for (Param& param : params_) ++param.steps;
  }
  return info;
}

const RuleInfo& Optimizer::rule(std::size_t group) const { return rule_list()[groups_.at(group).rule].info; }

std::size_t Optimizer::hyper_index(std::size_t group, const std::string& name) const {
  const Rule& rule = rule_list()[groups_.at(group).rule];
  std::string names;
  for (std::size_t i = 0; i < rule.hypers.size(); ++i) {
    if (name == rule.hypers[i].name) return i;
    names += (i ? ", " : "") + std::string(rule.hypers[i].name);
  }
  throw std::invalid_argument(rule.info.name + " has no hyperparameter \"" + name + "\"; it has: " + names);
}

double Optimizer::hyper(std::size_t group, const std::string& name) const {
  return groups_.at(group).hypers[hyper_index(group, name)];
}

void Optimizer::set_hyper(std::size_t group, const std::string& name, double value) {
  const std::size_t index = hyper_index(group, name);
  check_range(rule_list()[groups_.at(group).rule].hypers[index], value);
  groups_.at(group).hypers[index] = value;
}

void Optimizer::set_steps(std::size_t param, std::int64_t steps) {
  if (steps < 0) throw std::invalid_argument("steps must be at least 0, got " + std::to_string(steps));
  params_.at(param).steps = steps;
}

TensorView Optimizer::state(std::size_t param, std::size_t state) { return params_.at(param).states.at(state).view(); }

}  // namespace petrain
