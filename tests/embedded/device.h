#pragma once
#include <gtest/gtest.h>

#include <string>

#include "kiln/model.h"
#include "tests/support/files.h"
#include "tests/support/process.h"

namespace kiln::testing {

/// A machine that exported code is made for, and how programs for it are linked and run here.
struct Device {
  const char* name;  ///< of the test
  ExportArgs args;
  const char* compile;    ///< clang's options for it
  const char* run;        ///< the emulator; "" for this machine itself
  const char* code = "";  ///< addresses of a microcontroller's memories; "" on Linux
  const char* ram = "";
};

extern const Device devices[];
extern const std::size_t device_count;
/// The device of that name.
const Device& device(const std::string& name);

/// Can this machine run programs for `device`? (Of x86-64 not every machine has all instructions.)
bool runs_here(const Device& device);

/// Compiles the C program `source` with clang's `options`, links it with the start code of examples/embedded
/// and the folder's `objects`, and runs it. Failures of the tools are exceptions.
Outcome run_on(const Device& device, const TemporaryFolder& folder, const std::string& objects,
               const std::string& source, const std::string& options);

/// Exports the model as "net" for the device and lets it test itself there: the exit status of
/// device/selftest.c. The model's only output must be called "scores" and be float32.
int selftest_on(const Device& device, const Model& model, const TemporaryFolder& folder);
/// The same with a net.o and net.h that are there.
int run_selftest(const Device& device, const TemporaryFolder& folder);

}  // namespace kiln::testing
