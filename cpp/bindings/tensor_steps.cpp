#include "tensor_steps.hpp"

#include <cmath>
#include <unordered_map>

namespace petrain::python {
namespace {

std::vector<std::int64_t> shape_of(const DLTensor& tensor) { return {tensor.shape, tensor.shape + tensor.ndim}; }

std::vector<std::int64_t> strides_of(const DLTensor& tensor) {
  if (tensor.strides != nullptr) return {tensor.strides, tensor.strides + tensor.ndim};
  std::vector<std::int64_t> strides(static_cast<std::size_t>(tensor.ndim), 1);
  for (int i = tensor.ndim - 1; i > 0; --i) strides[i - 1] = strides[i] * tensor.shape[i];
  return strides;
}

bool has_shape(const DLTensor& tensor, const std::vector<std::int64_t>& shape) {
  return std::equal(shape.begin(), shape.end(), tensor.shape, tensor.shape + tensor.ndim);
}

// Of tensors of one shape: the strides of axes with one element, and of a tensor with none, are arbitrary.
bool has_layout(const Look& look, const std::vector<std::int64_t>& strides) {
  const DLTensor& tensor = look.tensor;
  if (tensor.strides == nullptr) return strides_of(tensor) == strides;
  if (std::equal(strides.begin(), strides.end(), tensor.strides) || look.size() == 0) return true;
  for (int i = 0; i < tensor.ndim; ++i) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != strides[i]) return false;
  }
  return true;
}

PyObject* grad_of(PyObject* param) {
  static PyObject* const name = PyUnicode_InternFromString("grad");
  PyObject* grad = PyObject_GetAttr(param, name);
  if (grad == nullptr) throw py::error_already_set();
  return grad;
}

}  // namespace

TensorSteps::TensorSteps(const py::object& optimizer, const py::list& param_lists, const py::dict& state,
                         const py::list& members, const py::array_t<float>& steps, const py::array_t<double>& memory,
                         py::object touch)
    : optimizer_(optimizer.cast<PyOptimizer*>()), touch_(std::move(touch)) {
  const Optimizer& core = *optimizer_->core;
  const auto count = static_cast<py::ssize_t>(core.param_count());
  if (static_cast<py::ssize_t>(members.size()) != count || steps.ndim() != 1 || steps.shape(0) != count ||
      memory.ndim() != 2 || memory.shape(0) != count) {
    throw std::invalid_argument("expected one member, step and row of memory for each parameter");
  }
  steps_ = const_cast<float*>(steps.data());
  memory_ = const_cast<double*>(memory.data());
  memory_width_ = static_cast<std::size_t>(memory.shape(1));
  std::unordered_map<PyObject*, std::size_t> index;
  for (const py::handle given : members) {
    const auto [param, target, names] = given.cast<std::tuple<py::object, py::object, py::tuple>>();
    const Look look = look_at_param_(param), target_look = look_at_param_(target);
    Member member{param.ptr(),
                  nullptr,
                  {},
                  look.tensor.dtype,
                  look.data(),
                  shape_of(look.tensor),
                  strides_of(look.tensor),
                  strides_of(target_look.tensor)};
    if (!names.empty()) {
      const py::dict own = state[param].cast<py::dict>();
      member.state = own.ptr();
      kept_.append(own);
      for (const py::handle name : names) {
        const py::object tensor = own[name];
        member.entries.push_back({name.ptr(), tensor.ptr(), look_at_state_(tensor).data()});
        kept_.append(py::make_tuple(name, tensor));
      }
    }
    index[param.ptr()] = members_.size();
    kept_.append(py::make_tuple(param, target));
    views_.push_back({nullptr, DType::f32, core.param(members_.size()).shape});
    members_.push_back(std::move(member));
  }
  for (const py::handle list : param_lists) {
    groups_.emplace_back();
    for (const py::handle param : list) {
      groups_.back().push_back(param.ptr());
      if (!index.contains(param.ptr())) others_.push_back(param.ptr());
    }
    kept_.append(py::tuple(py::reinterpret_borrow<py::list>(list)));
  }
  for (const auto& [key, value] : state) {
    const auto found = index.find(key.ptr());
    const Member* member = found == index.end() ? nullptr : &members_[found->second];
    state_keys_.push_back(key.ptr());
    state_members_.push_back(member != nullptr && member->state != nullptr ? member : nullptr);
    kept_.append(key);
  }
  kept_.append(py::make_tuple(optimizer, steps, memory, touch_));
  show_numbers();
}

bool TensorSteps::has_the_same_groups(const py::list& param_lists) const {
  if (param_lists.size() != groups_.size()) return false;
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    const py::handle list = param_lists[i];
    if (!PyList_Check(list.ptr()) || static_cast<std::size_t>(PyList_GET_SIZE(list.ptr())) != groups_[i].size()) {
      return false;
    }
    for (std::size_t k = 0; k < groups_[i].size(); ++k) {
      if (PyList_GET_ITEM(list.ptr(), static_cast<Py_ssize_t>(k)) != groups_[i][k]) return false;
    }
  }
  return true;
}

// To look a parameter up by its hash, which is computed in Python, would cost more than all the rest, and names are not
// free either: usually the entries are still in the order in which they were.
bool TensorSteps::has_the_same_state(const py::dict& state) {
  PyObject *key = nullptr, *value = nullptr;
  Py_ssize_t position = 0;
  std::size_t i = 0;
  bool in_order = state.size() == state_keys_.size();
  for (; in_order && PyDict_Next(state.ptr(), &position, &key, &value) != 0; ++i) {
    in_order = key == state_keys_[i] && (state_members_[i] == nullptr || state_members_[i]->state == value);
  }
  for (const Member& member : members_) {
    if (member.state == nullptr) continue;
    if (!in_order && PyDict_GetItem(state.ptr(), member.param) != member.state) return false;
    position = 0;
    for (const Entry& entry : member.entries) {
      if (PyDict_Next(member.state, &position, &key, &value) == 0) return false;
      if (key != entry.name) value = PyDict_GetItem(member.state, entry.name);
      if (value != entry.tensor || look_at_state_(entry.tensor).data() != entry.data) return false;
    }
  }
  return true;
}

bool TensorSteps::has_the_same_memory(const Member& member) {
  const Look look = look_at_param_(member.param);
  return look.data() == member.data && look.tensor.dtype.code == member.dtype.code &&
         look.tensor.dtype.bits == member.dtype.bits && has_shape(look.tensor, member.shape) &&
         has_layout(look, member.strides);
}

bool TensorSteps::is_current(const py::list& param_lists, const py::dict& state) {
  if (!has_the_same_groups(param_lists) || !has_the_same_state(state)) return false;
  for (const Member& member : members_) {
    if (!has_the_same_memory(member)) return false;
  }
  for (PyObject* param : others_) {
    if (!py::reinterpret_steal<py::object>(grad_of(param)).is_none()) return false;
  }
  return true;
}

// The gradients of the step that runs, which must stay alive without the GIL.
struct TensorSteps::Gradients {
  explicit Gradients(std::size_t count) : tensors(count) {}

  std::vector<py::object> tensors;
  std::vector<Rows> rows;  // empty where no gradient is given by rows
};

// None where it cannot be read in place: sparse, elsewhere, or laid out in another way.
std::optional<ConstTensorView> TensorSteps::view_gradient(py::handle grad, const Member& member) {
  try {
    const Look look = look_at_grad_(grad);
    const auto dtype = look.float_dtype();
    const bool usable = dtype && look.in_cpu_memory() && has_shape(look.tensor, member.shape) &&
                        has_layout(look, member.grad_strides) && (look.tensor.data != nullptr || look.size() == 0) &&
                        !look_at_grad_.is_negated(grad);
    if (usable) return ConstTensorView{look.data(), *dtype, {}};
  } catch (const py::error_already_set&) {  // NOLINT(bugprone-empty-catch): the caller finds out what is wrong with it
  }
  return std::nullopt;
}

void TensorSteps::use_copy(std::size_t index, py::object copy, Gradients& gradients) {
  ConstTensorView& view = views_[index];
  if (!py::isinstance<py::tuple>(copy)) {
    const auto found = view_gradient(copy, members_[index]);
    if (!found) throw std::logic_error("a copy of a gradient that cannot be read either");
    std::tie(view.data, view.dtype) = std::pair(found->data, found->dtype);
  } else {
    const auto [numbers, rows] = copy.cast<std::pair<py::object, py::object>>();
    const ArrayRef number_array = borrow(numbers, "row numbers", Access::read);
    view = borrow(rows, "rows", Access::read).view;
    static const std::int64_t none = 0;  // no rows at all are still rows
    const auto count = static_cast<std::size_t>(number_array.view.size());
    by_rows_.push_back(index);
    gradients.rows.resize(members_.size());
    gradients.rows[index] = {count > 0 ? number_array.view.as<std::int64_t>() : &none, count};
  }
  gradients.tensors[index] = std::move(copy);
}

// The members whose gradients are of no use.
py::list TensorSteps::find_gradients(const py::dict& copies, Gradients& gradients) {
  py::list unusable;
  for (const std::size_t i : by_rows_) views_[i].shape = optimizer_->core->param(i).shape;
  by_rows_.clear();
  for (std::size_t i = 0; i < members_.size(); ++i) {
    ConstTensorView& view = views_[i];
    view.data = nullptr;
    py::object& grad = gradients.tensors[i];
    grad = py::reinterpret_steal<py::object>(grad_of(members_[i].param));
    if (grad.is_none()) continue;
    if (const auto found = view_gradient(grad, members_[i])) {
      view.data = found->data;
      view.dtype = found->dtype;
      continue;
    }
    const py::int_ index(i);
    if (copies.contains(index)) {
      use_copy(i, copies[index], gradients);
    } else {
      unusable.append(index);
    }
  }
  return unusable;
}

// What users have written to the numbers that they are shown.
void TensorSteps::take_numbers() {
  Optimizer& core = *optimizer_->core;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const float steps = steps_[i];
    if (steps != static_cast<float>(core.steps(i))) {
      if (!(steps >= 0 && steps <= 0x1p62f)) {
        throw std::invalid_argument("state of parameter " + std::to_string(i) +
                                    ": expected a step of at least 0, got " + std::to_string(steps));
      }
      core.set_steps(i, std::llround(steps));
    }
    const double* row = memory_ + i * memory_width_;
    const auto memory = core.memory_values(i);
    std::copy_n(row, memory.size(), memory.begin());
  }
}

void TensorSteps::show_numbers() {
  Optimizer& core = *optimizer_->core;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    steps_[i] = static_cast<float>(core.steps(i));
    const auto memory = core.memory_values(i);
    std::copy(memory.begin(), memory.end(), memory_ + i * memory_width_);
  }
}

py::object TensorSteps::step(const py::list& param_lists, const py::dict& state, const py::dict& copies,
                             const StepOptions& options) {
  if (!is_current(param_lists, state)) return py::none();
  Gradients gradients(members_.size());
  py::list unusable = find_gradients(copies, gradients);
  if (!unusable.empty()) return unusable;
  take_numbers();
  StepOptions own = options;
  own.rows = gradients.rows;
  StepInfo info;
  {
    const py::gil_scoped_release release;
    info = optimizer_->core->step(views_, own);
  }
  show_numbers();
  py::list written;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (gradients.tensors[i].is_none()) continue;
    if (!info.skipped) written.append(py::handle(members_[i].param));
    const bool by_rows = !gradients.rows.empty() && gradients.rows[i].data() != nullptr;
    if (options.zero_grads && !by_rows) written.append(gradients.tensors[i]);
  }
  touch_(written);
  return py::cast(info);
}

}  // namespace petrain::python
