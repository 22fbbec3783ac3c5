import chainer
import chainer.functions as F
import chainer.links as L


class DigitNetwork(chainer.Chain):
    """Scores for the ten digits from pictures given as float32 (N, 784), 0 to 1."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(1, 16, ksize=5)
            self.conv2 = L.Convolution2D(16, 32, ksize=5)
            self.fc1 = L.Linear(4 * 4 * 32, 128)
            self.fc2 = L.Linear(128, 10)

    def forward(self, x):
        h = F.reshape(x, (-1, 1, 28, 28))
        h = F.max_pooling_2d(F.relu(self.conv1(h)), 2)
        h = F.max_pooling_2d(F.relu(self.conv2(h)), 2)
        h = F.dropout(F.relu(self.fc1(h)), 0.4)
        return self.fc2(h)
