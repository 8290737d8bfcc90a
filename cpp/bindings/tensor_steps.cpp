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

TensorSteps::TensorSteps(py::object optimizer, const py::list& param_lists, const py::dict& state,
                         const py::list& members, py::array steps, py::array memory, py::object touch)
    : optimizer_(optimizer.cast<PyOptimizer*>()),
      touch_(touch),
      steps_(static_cast<float*>(steps.mutable_data())),
      memory_(static_cast<double*>(memory.mutable_data())),
      memory_width_(static_cast<std::size_t>(memory.shape(1))) {
  const Optimizer& core = *optimizer_->core;
  std::unordered_map<PyObject*, std::size_t> index;
  for (const py::handle given : members) {
    const auto [param, target, names] = given.cast<std::tuple<py::object, py::object, py::tuple>>();
    const Look look = look_at_param_(param), target_look = look_at_param_(target);
    Member member{param.ptr(), nullptr, {}, look.tensor.dtype, look.data(), shape_of(look.tensor),
                  strides_of(look.tensor), strides_of(target_look.tensor)};
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
  kept_.append(py::make_tuple(std::move(optimizer), std::move(steps), std::move(memory), std::move(touch)));
  grads_.resize(members_.size());
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

// To look a parameter up by its hash, which is computed in Python, would cost more than all the rest: usually the keys
// are still in the order in which they were.
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
    for (const Entry& entry : member.entries) {
      if (PyDict_GetItem(member.state, entry.name) != entry.tensor) return false;
      if (look_at_state_(entry.tensor).data() != entry.data) return false;
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

bool TensorSteps::use_gradient(std::size_t index, py::handle grad) {
  const Member& member = members_[index];
  ConstTensorView& view = views_[index];
  try {
    const Look look = look_at_grad_(grad);
    const auto dtype = look.float_dtype();
    if (!dtype || !look.in_cpu_memory() || !has_shape(look.tensor, member.shape) ||
        !has_layout(look, member.grad_strides) || (look.tensor.data == nullptr && look.size() > 0)) {
      return false;
    }
    view.data = look.data();
    view.dtype = *dtype;
    return true;
  } catch (const py::error_already_set&) {  // sparse, for example: the caller says what is wrong with it
    return false;
  }
}

// The members whose gradients are of no use.
py::list TensorSteps::find_gradients(const py::dict& copies) {
  py::list unusable;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    views_[i].data = nullptr;
    grads_[i] = py::reinterpret_steal<py::object>(grad_of(members_[i].param));
    if (grads_[i].is_none() || use_gradient(i, grads_[i])) continue;
    const py::int_ index(i);
    if (!copies.contains(index)) {
      unusable.append(index);
      continue;
    }
    grads_[i] = copies[index];
    if (!use_gradient(i, grads_[i])) throw std::logic_error("a copy of a gradient that cannot be read either");
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
  take_numbers();
  py::list unusable = find_gradients(copies);
  if (!unusable.empty()) return unusable;
  StepInfo info;
  {
    const py::gil_scoped_release release;
    info = optimizer_->core->step(views_, options);
  }
  show_numbers();
  py::list written;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (!info.skipped && !grads_[i].is_none()) written.append(py::handle(members_[i].param));
    if (options.zero_grads && !grads_[i].is_none()) written.append(grads_[i]);
    grads_[i] = py::object();
  }
  touch_(written);
  return py::cast(info);
}

}  // namespace petrain::python
