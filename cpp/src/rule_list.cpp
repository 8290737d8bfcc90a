#include "rule_list.hpp"

#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <sstream>

#include "checks.hpp"

namespace petrain {
namespace {

std::vector<std::string> choices_of(const kernels::Hyper& hyper) {
  std::istringstream names(hyper.choices);
  return {std::istream_iterator<std::string>(names), {}};
}

template <class R, class T>
CoefficientBytes prepare(const double* hypers, double step, double* memory) {
  const auto coefficients = R::template prepare<T>(hypers, step, memory);
  CoefficientBytes result{};
  static_assert(sizeof coefficients <= sizeof result.bytes);
  std::memcpy(result.bytes, &coefficients, sizeof coefficients);
  return result;
}

void describe_hypers(Rule& rule) {
  for (const kernels::Hyper& hyper : rule.hypers) {
    rule.info.hypers[hyper.name] = hyper.value;
    if (hyper.fixed) rule.info.fixed.emplace_back(hyper.name);
    if (hyper.choices != nullptr) rule.info.choices[hyper.name] = choices_of(hyper);
  }
}

Rule describe(std::shared_ptr<const MatrixRule> matrix) {
  Rule rule{};
  rule.info.name = matrix->name();
  rule.info.matrix = true;
  rule.hypers = matrix->hypers();
  rule.hypers.push_back({"maximize", 0, kernels::Range::flag});
  describe_hypers(rule);
  std::vector<double> defaults;
  for (const kernels::Hyper& hyper : rule.hypers) defaults.push_back(hyper.value);
  for (const StateSpec& state : matrix->states({1, 1}, defaults.data())) rule.info.states.push_back(state.name);
  rule.memory = matrix->memory();
  for (const kernels::Memory& memory : rule.memory) rule.info.memory.emplace_back(memory.name);
  rule.matrix = std::move(matrix);
  return rule;
}

template <class R>
Rule describe() {
  Rule rule{};
  rule.info.name = R::name;
  rule.hypers.assign(std::begin(R::hypers), std::end(R::hypers));
  rule.hypers.push_back({"maximize", 0, kernels::Range::flag});
  static_assert(std::size(R::hypers) < kernels::kMaxHypers);
  describe_hypers(rule);
  if constexpr (requires { R::states; }) {
    static_assert(std::size(R::states) <= kernels::kMaxStates);
    rule.states.assign(std::begin(R::states), std::end(R::states));
    for (const kernels::State& state : rule.states) rule.info.states.emplace_back(state.name);
  }
  if constexpr (requires { R::memory; }) {
    static_assert(std::size(R::memory) <= kernels::kMaxMemory);
    rule.memory.assign(std::begin(R::memory), std::end(R::memory));
    for (const kernels::Memory& memory : rule.memory) rule.info.memory.emplace_back(memory.name);
  }
  rule.prepare[0] = prepare<R, float>;
  rule.prepare[1] = prepare<R, double>;
  if constexpr (requires { &R::trust; }) rule.trust = R::trust;
  return rule;
}

}  // namespace

const std::vector<Rule>& rule_list() {
#define PETRAIN_X(R) describe<kernels::R>(),
  static const std::vector<Rule> list = [] {
    std::vector<Rule> all = {PETRAIN_FOR_EACH_RULE(PETRAIN_X)};
    for (auto& matrix : make_matrix_rules(all)) all.push_back(describe(std::move(matrix)));
    return all;
  }();
#undef PETRAIN_X
  return list;
}

const std::vector<RuleInfo>& rules() {
  static const std::vector<RuleInfo> infos = [] {
    std::vector<RuleInfo> list;
    for (const Rule& rule : rule_list()) list.push_back(rule.info);
    return list;
  }();
  return infos;
}

int find_rule(const std::string& name) {
  std::string names;
  for (std::size_t i = 0; i < rule_list().size(); ++i) {
    if (rule_list()[i].info.name == name) return static_cast<int>(i);
    names += (i ? ", " : "") + rule_list()[i].info.name;
  }
  throw std::invalid_argument("unknown update rule \"" + name + "\"; this build has: " + names);
}

std::vector<StateSpec> states_of(const Rule& rule, const Shape& shape, const double* hypers) {
  if (rule.matrix) return rule.matrix->states(shape, hypers);
  std::vector<StateSpec> specs;
  for (const kernels::State& state : rule.states) {
    specs.push_back({state.name, state.kind, shape, initial_of(state, hypers)});
  }
  return specs;
}

std::size_t find_hyper(const Rule& rule, const std::string& name) {
  std::string names;
  for (std::size_t i = 0; i < rule.hypers.size(); ++i) {
    if (name == rule.hypers[i].name) return i;
    names += (i ? ", " : "") + std::string(rule.hypers[i].name);
  }
  throw std::invalid_argument(rule.info.name + " has no hyperparameter \"" + name + "\"; it has: " + names);
}

void check_hypers(const std::string& rule, const std::map<std::string, double>& hypers) {
  const Rule& own = rule_list()[find_rule(rule)];
  for (const auto& [name, value] : hypers) {
    kernels::Hyper hyper = own.hypers[find_hyper(own, name)];
    if (name == "lr") hyper.range = kernels::Range::non_negative;
    check_range(hyper, value);
  }
}

void check_shape(const std::string& rule, const std::map<std::string, double>& hypers, const Shape& shape) {
  const Rule& own = rule_list()[find_rule(rule)];
  if (!own.matrix) return;
  std::vector<double> values;
  for (const kernels::Hyper& hyper : own.hypers) values.push_back(hyper.value);
  for (const auto& [name, value] : hypers) values[find_hyper(own, name)] = value;
  own.matrix->check(shape, values.data(), "parameter");
}

void check_range(const kernels::Hyper& hyper, double value) {
  const char* expected = nullptr;
  switch (hyper.range) {
    case kernels::Range::positive:
      if (!(value > 0)) expected = "greater than 0";
      break;
    case kernels::Range::divisor:
      if (!(value > 0)) {
        expected = "greater than 0";
      } else if (value < std::numeric_limits<float>::min()) {
        expected = "at least 2^-126 (float32 takes less for 0)";
      }
      break;
    case kernels::Range::non_negative:
      if (!(value >= 0)) expected = "at least 0";
      break;
    case kernels::Range::unit:
      if (!(value >= 0 && value < 1)) expected = "in [0, 1)";
      break;
    case kernels::Range::unit_open:
      if (!(value > 0 && value < 1)) expected = "in (0, 1)";
      break;
    case kernels::Range::unit_closed:
      if (!(value >= 0 && value <= 1)) expected = "in [0, 1]";
      break;
    case kernels::Range::flag:
      if (value != 0 && value != 1) expected = "true or false";
      break;
    case kernels::Range::non_positive:
      if (!(value <= 0)) expected = "at most 0";
      break;
    case kernels::Range::natural:
      if (!(value >= 1 && value <= 0x1p31 && value == std::floor(value))) expected = "a whole number from 1 to 2^31";
      break;
    case kernels::Range::choice:
      if (!(value >= 0 && value < static_cast<double>(choices_of(hyper).size()) && value == std::floor(value))) {
        expected = "one of its choices by number";
      }
      break;
    case kernels::Range::any:
      break;
  }
  if (!std::isfinite(value)) expected = "finite";
  if (expected != nullptr) {
    throw std::invalid_argument(std::string(hyper.name) + " must be " + expected + ", got " + number_text(value));
  }
}

}  // namespace petrain
