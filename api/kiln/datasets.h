#pragma once
#include <string>

#include "kiln/runtime/tensor.h"

namespace kiln::datasets {

/// Samples and what belongs to them, row by row.
struct Split {
  Tensor x;
  Tensor y;
};

/// A data set divided for training and testing; `auto [train, test] = ...load_data()`.
struct Data {
  Split train;
  Split test;
};

/// Reads a file in the IDX format of the MNIST data sets (big-endian; magic number, sizes, elements), plain
/// or compressed with gzip. Element types: unsigned byte, int, float, double. Throws FileError naming the
/// file and the reason.
KILN_API Tensor load_idx(const std::string& path);

namespace fashion_mnist {

/// Fashion-MNIST (Xiao, Rasul, Vollgraf, 2017): 60,000 images to train with and 10,000 to test with, of
/// clothes of ten kinds. x: uint8 (N, 28, 28, 1), 0 to 255; y: int32 (N,), 0 to 9.
///
/// Looks for the four IDX files (train-images-idx3-ubyte.gz, ...; also without .gz) in `folder`; else, if the
/// environment variable KILN_DATA is set, in $KILN_DATA/fashion-mnist and $KILN_DATA; else where Debian's
/// package dataset-fashion-mnist puts them. Throws FileError if a file is missing or damaged.
KILN_API Data load_data(const std::string& folder = "");

}  // namespace fashion_mnist
}  // namespace kiln::datasets
