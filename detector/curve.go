package detector

import "math"

// Curve is the shape of the distribution that turns a silence into phi. A silence is measured as z: how many standard
// deviations it is longer than the mean.
type Curve uint8

const (
	// Normal is the exact tail of the normal distribution. Default.
	Normal Curve = iota
	// Logistic is the approximation that Akka and Pekko use, for thresholds tuned there: their 8 is a true phi of 7.06,
	// their 10 is 8.48, their 12 is 9.81, their 16 is 12.27. It is the same up to phi 2 and grows faster after.
	Logistic
)

// String returns "normal" or "logistic".
func (c Curve) String() string {
	switch c {
	case Normal:
		return "normal"
	case Logistic:
		return "logistic"
	default:
		return "unknown"
	}
}

// maxZ is where z is clamped. minNormalZ is where phi of the normal curve, 5e-17 there, is called zero.
const (
	maxZ       = 1e6
	minNormalZ = -8.3
)

// Phi is the suspicion at z: rising with z, finite and never negative, for whatever z. A NaN is no evidence: 0.
func (c Curve) Phi(z float64) float64 {
	switch {
	case math.IsNaN(z):
		return 0
	case z > maxZ:
		z = maxZ
	}
	if c == Logistic {
		return logisticPhi(z)
	}
	return normalPhi(z)
}

// Z is the inverse of Phi: the least z, to a float64's resolution, whose phi is at least the given. It is meant for
// thresholds, once per configuration, and takes some microseconds.
func (c Curve) Z(phi float64) float64 {
	low, high := -maxZ, float64(maxZ)
	for {
		middle := low + (high-low)/2
		if middle <= low || middle >= high {
			return high
		}
		if c.Phi(middle) < phi {
			low = middle
		} else {
			high = middle
		}
	}
}

// Phi is the suspicion after a silence of elapsed, when intervals have the given mean and standard deviation: pure
// numbers in any one unit. A standard deviation of zero or less counts as very small.
func Phi(elapsed, mean, stddev float64) float64 {
	return Normal.Phi(standardScore(elapsed, mean, stddev))
}

func standardScore(elapsed, mean, stddev float64) float64 {
	if !(stddev > 0) {
		stddev = math.SmallestNonzeroFloat64
	}
	return (elapsed - mean) / stddev
}

// tail holds a polynomial in u for ln(2Q(z)) + z²/2 - ln t, z ≥ 0, where t = 3.5/(3.5+z), u = 2t-1, and Q is the upper
// tail of the normal distribution: its Chebyshev expansion up to degree 12, written in powers of u. The error is below
// 2e-9 in phi for every z.
var tail = [13]float64{
	-0.8547709462493845, 0.7597388919988799, 0.13511966983356755, -0.019848851955543506, -0.023540996439930476,
	-0.001314829590842237, 0.0047898900703536645, 0.0009372694953214023, -0.001071997141109667, -0.0002794141783226678,
	0.00022825714510948575, 4.409737723563012e-05, -3.103865007384835e-05,
}

const (
	tailScale = 3.5
	lnScale   = 1.252762968495367995688120622
)

// normalPhi is -log10 Q(z).
func normalPhi(z float64) float64 {
	if z < minNormalZ {
		return 0
	}
	if z < 0 {
		return min(math.Ln2/math.Ln10, -math.Log1p(-math.Erfc(-z/math.Sqrt2)/2)/math.Ln10)
	}
	return normalTail(z)
}

// normalTail is normalPhi for z ≥ 0. It needs no exp, so nothing can underflow however long the silence.
func normalTail(z float64) float64 {
	t := tailScale / (tailScale + z)
	u := 2*t - 1
	u2 := u * u
	u4 := u2 * u2
	// In an order that lets the processor do most of it at once (Estrin's).
	p := (tail[0] + tail[1]*u) + (tail[2]+tail[3]*u)*u2 +
		((tail[4]+tail[5]*u)+(tail[6]+tail[7]*u)*u2)*u4 +
		((tail[8]+tail[9]*u)+(tail[10]+tail[11]*u)*u2+tail[12]*u4)*(u4*u4)
	phi := (z*z/2 + (math.Ln2 - p - lnScale + quickLog(tailScale+z))) * (1 / math.Ln10)
	if phi < math.Ln2/math.Ln10 { // its error must not make phi fall where the two formulas meet
		return math.Ln2 / math.Ln10
	}
	return phi
}

// logisticPhi is Akka's formula written as a softplus, which neither overflows nor cancels.
func logisticPhi(z float64) float64 {
	y := z * (1.5976 + 0.070566*z*z)
	if y > 0 {
		return (y + math.Log1p(math.Exp(-y))) / math.Ln10
	}
	return math.Log1p(math.Exp(y)) / math.Ln10
}
