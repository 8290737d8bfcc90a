#include <pybind11/stl.h>

#include <utility>

#include "arrays.hpp"
#include "petrain/quant_embedding.hpp"
#include "petrain/quant_rnn.hpp"

namespace petrain::python {
namespace {

ArrayRef borrow_or_none(const py::object& array, const std::string& what) {
  return array.is_none() ? ArrayRef{} : borrow(array, what, Access::read);
}

// Options that keep their arrays alive.
struct Options {
  ArrayRef h0, c0, lengths;
  RnnOptions values;

  Options(const py::object& h0_array, const py::object& c0_array, const py::object& lengths_array, bool reverse)
      : h0(borrow_or_none(h0_array, "h0")),
        c0(borrow_or_none(c0_array, "c0")),
        lengths(borrow_or_none(lengths_array, "lengths")),
        values{h0.view, c0.view, lengths.view, reverse} {}
};

template <class Run>
py::tuple results_of(const Run& run) {
  RnnResult result;
  {
    const py::gil_scoped_release release;
    result = run();
  }
  py::object c = py::none();
  if (!result.c.empty()) c = as_numpy(std::move(result.c));
  return py::make_tuple(as_numpy(std::move(result.y)), as_numpy(std::move(result.h)), c);
}

py::array rows_of(const QuantTensor& table, py::handle ids, const std::string& dtype) {
  const ArrayRef array = borrow(ids, "ids", Access::read);
  Shape shape = array.view.shape;
  if (table.shape.size() == 2) shape.push_back(table.shape[1]);  // else refused, with a better message
  Tensor rows = Tensor::uninitialized(float_dtype(dtype), shape);
  {
    const py::gil_scoped_release release;
    embedding(table, array.view, rows.view());
  }
  return as_numpy(std::move(rows));
}

}  // namespace

void register_quant_rnn(py::module_& module) {
  py::class_<QuantRnn>(module, "QuantRnn")
      .def(py::init([](const std::string& cell, std::shared_ptr<QuantLinear> w_ih, std::shared_ptr<QuantLinear> w_hh,
                       const py::object& b_ih, const py::object& b_hh) {
             const ArrayRef input = borrow_or_none(b_ih, "b_ih"), recurrent = borrow_or_none(b_hh, "b_hh");
             return QuantRnn(cell == "lstm" ? Cell::lstm : Cell::gru, std::move(w_ih), std::move(w_hh), input.view,
                             recurrent.view);
           }),
           py::arg("cell"), py::arg("w_ih"), py::arg("w_hh"), py::arg("b_ih"), py::arg("b_hh"))
      .def(
          "forward",
          [](const QuantRnn& self, py::handle x, const py::object& h0, const py::object& c0, const py::object& lengths,
             bool reverse) {
            const ArrayRef array = borrow(x, "x", Access::read);
            const Options options(h0, c0, lengths, reverse);
            return results_of([&] { return self.forward(array.view, options.values); });
          },
          py::arg("x"), py::arg("h0"), py::arg("c0"), py::arg("lengths"), py::arg("reverse"));

  module.def(
      "rnn_bidirectional",
      [](const QuantRnn& forward, const QuantRnn& backward, py::handle x, const py::object& h0, const py::object& c0,
         const py::object& lengths) {
        const ArrayRef array = borrow(x, "x", Access::read);
        const Options options(h0, c0, lengths, false);
        return results_of([&] { return bidirectional(forward, backward, array.view, options.values); });
      },
      py::arg("forward"), py::arg("backward"), py::arg("x"), py::arg("h0"), py::arg("c0"), py::arg("lengths"));

  module.def("embedding", &rows_of, py::arg("table"), py::arg("ids"), py::arg("dtype"));
}

}  // namespace petrain::python
