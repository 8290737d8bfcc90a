// Update rules and gradient accumulation, in place on the caller's parameters.
//
//   petrain::Optimizer optimizer({{.rule = "adamw", .hypers = {{"lr", 1e-3}}, .params = parameters}});
//   petrain::StepInfo info = optimizer.step(gradients, {.max_norm = 1.0});
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "petrain/qat.hpp"
#include "petrain/tensor.hpp"

namespace petrain {

struct RuleInfo {
  std::string name;
  std::map<std::string, double> hypers;  // with their defaults
  std::vector<std::string> states;       // tensors that the rule keeps for each parameter; of a matrix rule, a matrix
  std::vector<std::string> memory;       // numbers that it keeps for each parameter
  // Whether the rule sees a tensor as a matrix. It then computes in float32, and counts a gradient with a norm beyond
  // 1e18 as one that is not finite.
  bool matrix = false;
  std::vector<std::string> fixed = {};                           // hyperparameters that a state's shape follows
  std::map<std::string, std::vector<std::string>> choices = {};  // the names for the values 0, 1, … of some
};

// Every update rule that this build has.
const std::vector<RuleInfo>& rules();

// std::invalid_argument where the rule has no such hyperparameter, or a value is out of the range that set_hyper takes.
void check_hypers(const std::string& rule, const std::map<std::string, double>& hypers);

// std::invalid_argument where the rule has no use for a parameter of this shape.
void check_shape(const std::string& rule, const std::map<std::string, double>& hypers, const Shape& shape);

// How a parameter of 16 bits takes an update that is smaller than its own step.
enum class Rounding : std::uint8_t {
  nearest,     // to the nearest: small updates are lost
  stochastic,  // up or down by chance, right on average; a function of the seed, the step and the index alone
  kahan,       // what was cut is kept beside the parameter, in 16 bits, and added at the next step
  master,      // a float32 copy is updated; the parameter is that, rounded
};

// Parameters are float32, float64, float16 or bfloat16, their memory must outlive the optimizer. A rule computes in
// float64 where the parameter is float64, else in float32.
struct ParamGroup {
  std::string rule;
  std::map<std::string, double> hypers = {};  // those that are missing take the rule's default
  std::vector<TensorView> params = {};
  // f32, bf16 or i8 (8-bit codes in groups of 64); without it, the type that the rule computes in. What must not lose
  // bits, such as Schedule-Free's second copy of the parameter, is kept in that type all the same.
  std::optional<DType> state_dtype = std::nullopt;
  Rounding rounding = Rounding::nearest;
};

// Which rows of a parameter a gradient belongs to, where it is given by rows, as that of an embedding is: the gradient
// of a parameter (N, …) is then (n, …), its k-th row that of row rows[k]. Rows that come twice are added up. Without
// data, the gradient is whole.
using Rows = std::span<const std::int64_t>;

struct StepOptions {
  double grad_scale = 1;                                       // what the gradients were multiplied with before
  double max_norm = std::numeric_limits<double>::infinity();   // global gradient norm to clip to
  double max_value = std::numeric_limits<double>::infinity();  // then, greatest magnitude of an entry
  bool zero_grads = false;                                     // set the gradients to zero afterwards
  // Without it gradients are read once instead of twice: a NaN goes into the parameters, the norm is NaN, and there is
  // no max_norm. Matrix rules check theirs all the same.
  bool check_finite = true;
  // One for each gradient, or none; other rows of a parameter are left as they are, their states too.
  std::span<const Rows> rows = {};
  bool allow_missing = false;  // a gradient without data leaves its parameter be
};

struct StepInfo {
  double grad_norm = 0;  // global norm of the unscaled gradients before clipping
  bool skipped = false;  // a gradient was NaN or infinite: no parameter, state or step count was changed
};

// Sums weighted micro-batch gradients; an optimizer's step takes their mean Σ wᵢ gᵢ / Σ wᵢ.
class GradAccumulator {
 public:
  // Sums are kept in f32, or in fewer bits with error feedback, so that what is too small for them is not lost: bf16
  // takes 3.25 bytes for each element, i8 2.0625.
  explicit GradAccumulator(std::vector<Shape> shapes, DType dtype = DType::f32);

  // Adds weight * gradients, of any float type. Returns false, and changes nothing, where one is NaN or
  // infinite, or may be so in float32.
  bool add(std::span<const ConstTensorView> grads, double weight = 1.0);
  void reset();

  DType dtype() const { return dtype_; }
  std::int64_t count() const { return count_; }  // micro-batches since the last reset
  double weight() const { return weight_; }      // Σ wᵢ since the last reset
  std::size_t nbytes() const;                    // of all sums
  std::vector<Tensor> mean() const;              // in f32

 private:
  friend class Optimizer;

  DType dtype_;
  std::vector<Tensor> sums_;
  std::vector<ConstTensorView> views_;  // of the parameters' shapes; of fewer bits, not to be read as numbers
  std::int64_t count_ = 0;
  double weight_ = 0;
};

class Optimizer {
 public:
  // Throws std::invalid_argument where a rule, a hyperparameter or a parameter is not usable. The seed is that of
  // stochastic rounding.
  explicit Optimizer(std::vector<ParamGroup> groups, std::uint64_t seed = 0);
  void add_group(ParamGroup group);

  // One update of every parameter, gradients in the order of the parameters, of any float type. All or nothing: where
  // a gradient is not finite, no parameter, state or step count changes and the result says so. With zero_grads the
  // gradients must be writeable and are zero afterwards in any case.
  StepInfo step(std::span<const ConstTensorView> grads, const StepOptions& options = {});
  // The same with the accumulated mean; resets the accumulator.
  StepInfo step(GradAccumulator& accumulated, const StepOptions& options = {});

  // Trains a float32 parameter of an elementwise rule as its fake-quantized copy `out`, which is written here and in
  // every step. Steps then take the gradient of the copy and let it through where the parameter is within the range of
  // the integers; the norm, and clipping by it, are those of the gradient as it is given. They leave the gradient of
  // the scale, with lsq_factor, in scale_gradient. Where the scale is a parameter of this optimizer too, its gradient
  // in a step is what the step before has left there: it is one step behind, since the new scale must be known before
  // the first element of the copy is written. A scale that is out of its range is put at the end of it. Whoever changes
  // the parameter or the scale between two steps attaches again. Throws std::invalid_argument, before it writes
  // anything, for what does not fit, and as fake_quantize does.
  void attach_fake_quantize(std::size_t param, const FakeQuantized& copy);
  void detach_fake_quantize(std::size_t param);

  std::size_t group_count() const { return groups_.size(); }
  std::size_t param_count() const { return params_.size(); }
  const RuleInfo& rule(std::size_t group) const;
  double hyper(std::size_t group, const std::string& name) const;
  // Takes effect at the next step. An "lr" of 0 may be set, as schedules do, though no optimizer is made with it.
  void set_hyper(std::size_t group, const std::string& name, double value);

  std::size_t group_of(std::size_t param) const { return params_.at(param).group; }
  const TensorView& param(std::size_t param) const { return params_.at(param).view; }

  // What a resumed run needs of a parameter, beside the parameter itself: the number of its steps, numbers, and
  // arrays, which are written to in order to resume. An array in 8-bit codes is followed by its scales.
  std::int64_t steps(std::size_t param) const { return params_.at(param).steps; }
  void set_steps(std::size_t param, std::int64_t steps);
  std::map<std::string, double> memory(std::size_t param) const;
  void set_memory(std::size_t param, const std::string& name, double value);
  std::span<double> memory_values(std::size_t param);  // in the order of the rule's names
  std::vector<std::pair<std::string, TensorView>> state(std::size_t param);
  std::size_t state_bytes() const;

 private:
  static constexpr std::size_t kMostMemory = 4;
  struct Group {
    int rule;
    std::vector<double> hypers;
    std::optional<DType> state_dtype;
    Rounding rounding;
  };
  struct FakeQuant;
  struct Param {
    TensorView view;
    std::size_t group;
    std::int64_t steps = 0;
    std::array<double, kMostMemory> memory = {};
    std::vector<Tensor> states = {}, scales = {};
    Tensor extra = {};
    std::shared_ptr<FakeQuant> fake_quant = {};
    std::optional<std::size_t> scale_of = {};  // of the copy of which parameter this is the scale
  };
  struct Chunk {
    std::size_t param;
    std::int64_t begin, size;
    std::int64_t grad_begin;  // where the chunk's gradient begins: elsewhere where it is given by rows
  };
  struct Work;

  Param make_param(TensorView view, std::size_t group) const;
  void sort_by_address();
  void check_apart(const ConstTensorView& grad, std::size_t index) const;
  Work prepare(std::span<const ConstTensorView> grads, double scale, const StepOptions& options) const;
  void add_rows(Work& work, std::size_t index, const ConstTensorView& grad, Rows rows) const;
  StepInfo step_scaled(std::span<const ConstTensorView> grads, double scale, const StepOptions& options,
                       std::optional<DType> sums = std::nullopt);
  void link_fake_quants();
  void check_fake_quants() const;
  void check_fake_quant(const FakeQuantized& copy, std::size_t param) const;
  bool writes_to(const ConstTensorView& grad) const;
  void prepare_fake_quants(Work& work, std::span<const ConstTensorView> grads, const StepOptions& options) const;
  void judge(Work& work, const std::vector<Chunk>& chunks, const StepOptions& options) const;
  void set_trust(Work& work, const std::vector<Chunk>& chunks) const;
  void take_matrix_norms(Work& work, const std::vector<Chunk>& chunks) const;
  void step_matrices(Work& work);
  std::size_t hyper_index(std::size_t group, const std::string& name) const;

  std::uint64_t seed_;
  std::vector<Group> groups_;
  std::vector<Param> params_;
  std::vector<std::size_t> by_address_;  // parameters that are not empty
  std::vector<Chunk> chunks_;
  std::vector<std::pair<const std::byte*, const std::byte*>> fake_memory_;  // what steps write for copies, in order
  std::int64_t elements_ = 0;                                               // of all parameters
};

}  // namespace petrain
