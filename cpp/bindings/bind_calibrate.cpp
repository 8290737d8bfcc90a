#include <pybind11/stl.h>

#include <cstring>
#include <utility>

#include "arrays.hpp"
#include "petrain/calibrate.hpp"
#include "src/quant_spec.hpp"

namespace petrain::python {
namespace {

template <class T>
py::array numpy_of(const std::vector<T>& values) {
  Tensor tensor = Tensor::uninitialized(dtype_of<T>(), {static_cast<std::int64_t>(values.size())});
  if (!values.empty()) std::memcpy(tensor.as<T>(), values.data(), tensor.nbytes());
  return as_numpy(std::move(tensor));
}

template <class T>
std::span<const T> vector_of(const ArrayRef& array, const std::string& what) {
  if (array.view.dtype != dtype_of<T>() || array.view.shape.size() != 1) {
    throw std::invalid_argument(what + ": expected one dimension of " + dtype_name(dtype_of<T>()) + ", got " +
                                dtype_name(array.view.dtype) + " of shape " + shape_text(array.view.shape));
  }
  return {array.view.as<T>(), static_cast<std::size_t>(array.view.shape[0])};
}

std::vector<Range> ranges_from(py::handle low, py::handle high) {
  const ArrayRef low_array = borrow(low, "low", Access::read), high_array = borrow(high, "high", Access::read);
  const auto lows = vector_of<double>(low_array, "low"), highs = vector_of<double>(high_array, "high");
  if (lows.size() != highs.size()) {
    throw std::invalid_argument("high: expected " + std::to_string(lows.size()) + " numbers as in low, got " +
                                std::to_string(highs.size()));
  }
  std::vector<Range> ranges;
  for (std::size_t i = 0; i < lows.size(); ++i) ranges.push_back({lows[i], highs[i]});
  return ranges;
}

template <class Observer>
std::pair<py::array, py::array> ranges_of(const Observer& self) {
  std::vector<double> low, high;
  for (const Range& range : self.ranges()) {
    low.push_back(range.low);
    high.push_back(range.high);
  }
  return {numpy_of(low), numpy_of(high)};
}

template <class Observer>
void observe(Observer& self, py::handle x) {
  const ArrayRef array = borrow(x, "x", Access::read);
  const py::gil_scoped_release release;
  self.observe(array.view);
}

template <class Find>
std::pair<double, double> range_of(Find&& find) {
  const py::gil_scoped_release release;
  const Range range = find();
  return {range.low, range.high};
}

void register_histogram(py::module_& module) {
  py::class_<Histogram>(module, "Histogram")
      .def(py::init<>())
      .def(py::init([](py::handle bins, py::handle counts, double low, double high) {
             const ArrayRef bin_array = borrow(bins, "bins", Access::read);
             const ArrayRef count_array = borrow(counts, "counts", Access::read);
             return Histogram(vector_of<std::int32_t>(bin_array, "bins"),
                              vector_of<std::int64_t>(count_array, "counts"), {low, high});
           }),
           py::arg("bins"), py::arg("counts"), py::arg("low"), py::arg("high"))
      .def("observe", &observe<Histogram>, py::arg("x"))
      .def("merge", &Histogram::merge, py::arg("other"))
      .def_property_readonly("count", &Histogram::count)
      .def("extremes", [](const Histogram& self) { return range_of([&] { return self.extremes(); }); })
      .def("parts",
           [](const Histogram& self) {
             std::vector<std::int32_t> numbers;
             std::vector<std::int64_t> counts;
             self.parts(numbers, counts);
             return std::pair(numpy_of(numbers), numpy_of(counts));
           })
      .def(
          "percentile_range",
          [](const Histogram& self, double percentile, const std::string& scheme) {
            return range_of([&] { return percentile_range(self, percentile, scheme_from(scheme)); });
          },
          py::arg("percentile"), py::arg("scheme"))
      .def(
          "entropy_range",
          [](const Histogram& self, int bits, const std::string& scheme) {
            return range_of([&] { return entropy_range(self, bits, scheme_from(scheme)); });
          },
          py::arg("bits"), py::arg("scheme"))
      .def(
          "mse_range",
          [](const Histogram& self, int bits, const std::string& scheme) {
            return range_of([&] { return mse_range(self, bits, scheme_from(scheme)); });
          },
          py::arg("bits"), py::arg("scheme"));
}

}  // namespace

void register_calibrate(py::module_& module) {
  register_histogram(module);
  py::class_<MinMax>(module, "MinMax")
      .def(py::init<std::optional<int>>(), py::arg("axis"))
      .def(py::init([](std::optional<int> axis, py::handle low, py::handle high, std::int64_t count) {
             return MinMax(axis, ranges_from(low, high), count);
           }),
           py::arg("axis"), py::arg("low"), py::arg("high"), py::arg("count"))
      .def("observe", &observe<MinMax>, py::arg("x"))
      .def("merge", &MinMax::merge, py::arg("other"))
      .def("ranges", &ranges_of<MinMax>)
      .def_property_readonly("count", &MinMax::count);
  py::class_<MovingAverage>(module, "MovingAverage")
      .def(py::init<double, std::optional<int>>(), py::arg("constant"), py::arg("axis"))
      .def(py::init([](double constant, std::optional<int> axis, py::handle low, py::handle high, std::int64_t count,
                       std::int64_t arrays) {
             return MovingAverage(constant, axis, ranges_from(low, high), count, arrays);
           }),
           py::arg("constant"), py::arg("axis"), py::arg("low"), py::arg("high"), py::arg("count"), py::arg("arrays"))
      .def("observe", &observe<MovingAverage>, py::arg("x"))
      .def("merge", &MovingAverage::merge, py::arg("other"))
      .def("ranges", &ranges_of<MovingAverage>)
      .def_property_readonly("count", &MovingAverage::count)
      .def_property_readonly("arrays", &MovingAverage::arrays);
}

}  // namespace petrain::python
