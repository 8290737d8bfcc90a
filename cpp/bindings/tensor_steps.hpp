// Steps over the tensors of a framework whose parameters carry their gradients: PyTorch.
#pragma once

#include <optional>
#include <vector>

#include "look.hpp"
#include "py_optimizer.hpp"

namespace petrain::python {

// An optimizer of the core, and the tensors that it was made for. Users may replace any of them between two steps; a
// step finds that out before it writes anything.
//
// Everything that is compared by its address is kept alive in one Python list, which the garbage collector sees: a
// parameter's hook may refer to the optimizer.
class TensorSteps {
 public:
  // param_lists: the parameters of each group. state: what is kept for each parameter, by parameter.
  // members: for each parameter of the core, in its order, the parameter, the tensor that is updated (the parameter, or
  // a copy), and the names of what state[parameter] holds of the core's memory.
  // steps, memory: float32 and float64 arrays, one row for each member, in which the number of steps and the rule's
  // numbers are shown to users, who may change them.
  // touch: called with the list of the tensors that were written to.
  TensorSteps(const py::object& optimizer, const py::list& param_lists, const py::dict& state, const py::list& members,
              const py::array_t<float>& steps, const py::array_t<double>& memory, py::object touch);

  // StepInfo; or a list of the members whose gradient cannot be read in place, and that `copies` has none for; or None
  // where the tensors are no longer those that this was made for. In the last two cases nothing was done. A copy, by
  // the number of the member, is a tensor laid out as the one that is updated, or a pair of row numbers and rows.
  py::object step(const py::list& param_lists, const py::dict& state, const py::dict& copies,
                  const StepOptions& options);

  const py::list& kept() const { return kept_; }

 private:
  struct Entry {  // of a member's state
    PyObject *name, *tensor;
    const void* data;
  };
  struct Member {
    PyObject *param, *state;  // state is null where nothing is kept
    std::vector<Entry> entries;
    DLDataType dtype;
    const void* data;
    std::vector<std::int64_t> shape, strides, grad_strides;
  };

  bool is_current(const py::list& param_lists, const py::dict& state);
  bool has_the_same_groups(const py::list& param_lists) const;
  bool has_the_same_state(const py::dict& state);
  bool has_the_same_memory(const Member& member);
  struct Gradients;
  py::list find_gradients(const py::dict& copies, Gradients& gradients);
  std::optional<ConstTensorView> view_gradient(py::handle grad, const Member& member);
  void use_copy(std::size_t index, py::object copy, Gradients& gradients);
  void take_numbers();
  void show_numbers();

  py::list kept_;
  PyOptimizer* optimizer_;
  py::object touch_;
  std::vector<std::vector<PyObject*>> groups_;
  std::vector<PyObject*> others_;  // parameters that had no gradient and no state: not among the members
  std::vector<PyObject*> state_keys_;
  std::vector<const Member*> state_members_;  // null where the key is none of a member
  std::vector<Member> members_;
  float* steps_ = nullptr;
  double* memory_ = nullptr;
  std::size_t memory_width_ = 0;
  std::vector<ConstTensorView> views_;  // of the gradients, in the shape in which the core has the parameters
  std::vector<std::size_t> by_rows_;    // but for these, since the last step
  Looker look_at_param_, look_at_grad_, look_at_state_;
};

}  // namespace petrain::python
