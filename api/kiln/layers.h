#pragma once
/// All layers.
#include "kiln/layer_impl.h"
#include "kiln/layers/activation.h"
#include "kiln/layers/conv2d.h"
#include "kiln/layers/dense.h"
#include "kiln/layers/dropout.h"
#include "kiln/layers/input.h"
#include "kiln/layers/merge.h"
#include "kiln/layers/pooling2d.h"
#include "kiln/layers/rescaling.h"
#include "kiln/layers/reshape.h"
