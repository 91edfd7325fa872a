// Uses kiln::runtime alone: makes, writes, reads and prints tensors; errors arrive as kiln::Error.
#include <kiln/runtime/executable.h>
#include <kiln/runtime/tensor.h>

#include <cstdio>
#include <iostream>
#include <vector>

int main() {
  kiln::set_num_threads(1);
  const kiln::Tensor t(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  t.save_npy("tensor.npy");
  const kiln::Tensor back = kiln::Tensor::load_npy("tensor.npy");
  std::remove("tensor.npy");
  std::cout << back << "\n";
  if (back.shape() != t.shape() || back(1, 2) != 6) return 1;
  try {
    t.reshape({4, 2});
  } catch (const kiln::ShapeError& error) {
    std::cout << error.what() << "\n";
    return 0;
  }
  return 1;
}
